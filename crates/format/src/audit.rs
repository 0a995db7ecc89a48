//! What only a check of a whole run asks for: every row of a part, and what was set aside.

use std::path::PathBuf;

use crate::columns::{HistogramBatch, MagnitudeBatch, ScalarBatch, Source, StepBatch, TensorBatch};
use crate::error::FormatError;
use crate::parts::PartEntry;
use crate::reader::{Run, SUPERSEDED, read_part};
use crate::schema::Table;

/// Rows of a part of any table.
pub enum Rows {
    /// Of `magnitudes`.
    Magnitudes(MagnitudeBatch),
    /// Of `histograms`.
    Histograms(HistogramBatch),
    /// Of `tensors`.
    Tensors(Box<TensorBatch>),
    /// Of `scalars`.
    Scalars(ScalarBatch),
    /// Of `steps`.
    Steps(Box<StepBatch>),
}

impl Rows {
    /// The step of each row.
    pub fn steps(&self) -> &[i64] {
        match self {
            Self::Magnitudes(batch) => batch.step.values(),
            Self::Histograms(batch) => batch.step.values(),
            Self::Tensors(batch) => batch.step.values(),
            Self::Scalars(batch) => batch.step.values(),
            Self::Steps(batch) => batch.step.values(),
        }
    }
}

impl Run {
    /// Every row of a part that a rank has published, those after the last complete step included.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn part_rows(&self, rank: u32, part: &PartEntry) -> Result<Vec<Rows>, FormatError> {
        let path = self.dir().join(part.relative_path());
        let batches = read_part(self.storage(), part, None, i64::MAX)?;
        let rows = batches.iter().map(|batch| {
            let source = Source { batch, path: &path, manifest: self.manifest(), rank };
            Ok(match part.table {
                Table::Magnitudes => Rows::Magnitudes(MagnitudeBatch::new(&source)?),
                Table::Histograms => Rows::Histograms(HistogramBatch::new(&source)?),
                Table::Tensors => Rows::Tensors(TensorBatch::new(&source)?.into()),
                Table::Scalars => Rows::Scalars(ScalarBatch::new(&source)?),
                Table::Steps => Rows::Steps(StepBatch::new(&source)?.into()),
            })
        });
        rows.collect()
    }

    /// Files that a resumption or compaction has set aside, relative to the run directory. They are never read.
    ///
    /// # Errors
    /// [`FormatError::Io`] if a folder cannot be listed.
    pub fn superseded(&self) -> Result<Vec<PathBuf>, FormatError> {
        let mut files = Vec::new();
        for folder in Table::ALL.map(|table| PathBuf::from(SUPERSEDED).join(table.name())) {
            match self.storage().list(&folder) {
                Err(absence) if absence.is_absence() => {}
                names => files.extend(names?.into_iter().map(|name| folder.join(name))),
            }
        }
        files.sort();
        Ok(files)
    }
}

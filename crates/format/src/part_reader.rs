//! One part file of a run, read apart from the others: parts can be decoded on several threads, and those of steps that
//! are not asked for left alone.

use arrow::array::RecordBatch;

use crate::columns::{HistogramBatch, Source, StepBatch, TensorBatch};
use crate::error::FormatError;
use crate::part_decoder::content;
use crate::parts::PartEntry;
use crate::reader::{Run, checked_bytes, read_part};
use crate::values::{Values, read_values};

/// A listed part file of a run.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub(crate) run: &'a Run,
    pub(crate) rank: u32,
    pub(crate) entry: &'a PartEntry,
}

impl Part<'_> {
    /// The magnitudes of a part of `magnitudes`, without the elements and signs they belong to: those columns are not
    /// decoded.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn values(&self) -> Result<Values, FormatError> {
        let Self { run, entry, .. } = *self;
        let (path, bytes) = checked_bytes(run.storage(), entry)?;
        read_values(entry, &path, bytes, run.manifest(), run.last_step())
    }

    /// The rows of a part of `histograms`.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn histograms(&self) -> Result<Vec<HistogramBatch>, FormatError> {
        self.decode(HistogramBatch::new)
    }

    /// The rows of a part of `tensors`.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn tensors(&self) -> Result<Vec<TensorBatch>, FormatError> {
        self.decode(TensorBatch::new)
    }

    /// The rows of a part of `steps`.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn steps(&self) -> Result<Vec<StepBatch>, FormatError> {
        self.decode(StepBatch::new)
    }

    /// Rows up to the run's last complete step, as Arrow has them: of the columns named, in the table's order. Others are
    /// not decoded, but for the step.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn rows(&self, columns: &[&str]) -> Result<Vec<RecordBatch>, FormatError> {
        let Self { run, entry, .. } = *self;
        let batches = read_part(run.storage(), entry, Some(&[&["step"], columns].concat()), run.last_step())?;
        let schema = entry.table.arrow_schema();
        let is_asked = |name: &String| columns.contains(&name.as_str());
        let asked: Vec<&String> =
            schema.fields().iter().map(|field| field.name()).filter(|name| is_asked(name)).collect();
        let projected = |batch: &RecordBatch| {
            let indices = asked.iter().map(|name| batch.schema().index_of(name)).collect::<Result<Vec<_>, _>>();
            let batch = indices.and_then(|indices| batch.project(&indices));
            batch.map_err(|fault| content(&run.dir().join(entry.relative_path()), fault.to_string()))
        };
        batches.iter().map(projected).collect()
    }

    /// Rows up to the run's last complete step.
    pub(crate) fn decode<T>(&self, decode: fn(&Source<'_>) -> Result<T, FormatError>) -> Result<Vec<T>, FormatError> {
        let Self { run, rank, entry } = *self;
        let batches = read_part(run.storage(), entry, None, run.last_step())?;
        let path = run.dir().join(entry.relative_path());
        let source = |batch| Source { batch, path: &path, manifest: run.manifest(), rank };
        batches.iter().map(|batch| decode(&source(batch))).collect()
    }
}

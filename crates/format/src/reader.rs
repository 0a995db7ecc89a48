//! The checked reader: opens what the lists of parts name and what matches its digest, nothing else.

use std::path::{Path, PathBuf};

use arrow::array::{Array, Int64Array, RecordBatch};

use crate::columns::{HistogramBatch, MagnitudeBatch, Source, StepBatch, TensorBatch};
use crate::error::FormatError;
use crate::manifest::{Manifest, Status};
use crate::parquet_file;
use crate::parts::{self, PartEntry};
use crate::schema::Table;

/// A run directory, opened for reading. Nothing in it is ever changed.
///
/// A run that is still being recorded, or was interrupted, is read up to its last complete step.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
    parts: Vec<PartEntry>,
    last_step: i64,
}

impl Run {
    /// Opens the run in `dir`: its manifest and lists of parts; part files are read later.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn open(dir: &Path) -> Result<Self, FormatError> {
        let manifest = Manifest::read(dir)?;
        let mut parts = Vec::new();
        for list in lists(dir)? {
            parts.extend(parts::read_list(&list)?);
        }
        let last_step = parts.iter().filter(|part| part.table == Table::Steps).map(|part| part.last_step).max();
        let Some(last_step) = last_step else {
            return Err(FormatError::Empty { path: dir.to_owned() });
        };
        Ok(Self { dir: dir.to_owned(), manifest, parts, last_step })
    }

    /// The run directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Calls the run something else for as long as it is open; nothing is written.
    pub fn rename(&mut self, name: String) {
        self.manifest.run = name;
    }

    /// What was recorded and how.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether recording ended in order.
    pub fn is_finished(&self) -> bool {
        self.manifest.status == Status::Finished
    }

    /// The last step that is complete in every table.
    pub fn last_step(&self) -> i64 {
        self.last_step
    }

    /// The listed part files of a table, in order of writing.
    pub fn parts(&self, table: Table) -> impl Iterator<Item = &PartEntry> {
        self.parts.iter().filter(move |part| part.table == table)
    }

    /// Files in the tables' folders that no list names: left by a crash, or by someone else. They are never read.
    ///
    /// # Errors
    /// [`FormatError::Io`] if a folder cannot be listed.
    pub fn orphans(&self) -> Result<Vec<PathBuf>, FormatError> {
        let mut orphans = Vec::new();
        for table in Table::ALL {
            let folder = self.dir.join(table.name());
            if !folder.is_dir() {
                continue;
            }
            for entry in fs_err::read_dir(&folder)? {
                let name = entry?.file_name();
                if !self.parts(table).any(|part| name == part.file.as_str()) {
                    orphans.push(folder.join(name));
                }
            }
        }
        orphans.sort();
        Ok(orphans)
    }

    /// Rows of `magnitudes` up to the last complete step.
    pub fn magnitudes(&self) -> impl Iterator<Item = Result<MagnitudeBatch, FormatError>> {
        self.batches(Table::Magnitudes, MagnitudeBatch::new)
    }

    /// Rows of `histograms` up to the last complete step.
    pub fn histograms(&self) -> impl Iterator<Item = Result<HistogramBatch, FormatError>> {
        self.batches(Table::Histograms, HistogramBatch::new)
    }

    /// Rows of `tensors` up to the last complete step.
    pub fn tensors(&self) -> impl Iterator<Item = Result<TensorBatch, FormatError>> {
        self.batches(Table::Tensors, TensorBatch::new)
    }

    /// Rows of `steps`.
    pub fn steps(&self) -> impl Iterator<Item = Result<StepBatch, FormatError>> {
        self.batches(Table::Steps, StepBatch::new)
    }

    fn batches<T>(
        &self,
        table: Table,
        decode: fn(&Source<'_>) -> Result<T, FormatError>,
    ) -> impl Iterator<Item = Result<T, FormatError>> {
        self.parts(table).flat_map(move |part| match self.read_part(part) {
            Err(fault) => vec![Err(fault)],
            Ok(batches) => {
                let path = self.dir.join(part.relative_path());
                let decode = |batch: &RecordBatch| decode(&Source { batch, path: &path, manifest: &self.manifest });
                batches.iter().map(decode).collect()
            }
        })
    }

    /// A part's rows up to the last complete step, after checking its length, digest, columns and number of rows.
    fn read_part(&self, part: &PartEntry) -> Result<Vec<RecordBatch>, FormatError> {
        let path = self.dir.join(part.relative_path());
        let found = fs_err::metadata(&path)?.len();
        if found != part.bytes {
            return Err(FormatError::PartSize { path, found, expected: part.bytes });
        }
        let bytes = fs_err::read(&path)?;
        part.check(&path, &bytes)?;
        let content = |reason| FormatError::Content { path: path.clone(), reason };
        let mut batches = Vec::new();
        let (rows, reader) = parquet_file::open_table(part.table, &path, bytes)?;
        if rows != part.rows {
            return Err(content(format!("{rows} rows: expected {}, as listed", part.rows)));
        }
        for batch in reader {
            batches.push(batch.map_err(|source| content(source.to_string()))?);
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows as u64 != part.rows {
            return Err(content(format!("{rows} rows decoded: expected {}, as listed", part.rows)));
        }
        Ok(batches.iter().map(|batch| self.complete_steps(batch)).collect())
    }

    /// Rows are sorted by step, so those of complete steps come first.
    fn complete_steps(&self, batch: &RecordBatch) -> RecordBatch {
        let step = batch.column_by_name("step").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let complete = step.map_or(0, |step| step.values().partition_point(|&step| step <= self.last_step));
        batch.slice(0, complete)
    }
}

/// The lists of parts, one per rank, in order of rank.
fn lists(dir: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let mut lists = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("parts-r") && name.ends_with(".jsonl") {
            lists.push(dir.join(name.as_ref()));
        }
    }
    lists.sort();
    Ok(lists)
}

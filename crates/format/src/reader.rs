//! The checked reader: opens what the lists of parts name and what matches its digest, nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::columns::{HistogramBatch, MagnitudeBatch, ScalarBatch, Source, StepBatch, TensorBatch};
use crate::error::FormatError;
use crate::manifest::{Manifest, Status};
use crate::part_decoder::decode_part;
use crate::parts::{self, Commit, PartEntry};
use crate::schema::Table;

/// Where parts go that a resumed run has left behind.
pub(crate) const SUPERSEDED: &str = "superseded";

/// A run directory, opened for reading. Nothing in it is ever changed.
///
/// A run that is still being recorded, or was interrupted, is read up to its last complete step.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
    /// What each rank has published.
    ranks: Vec<Rank>,
    last_step: i64,
}

#[derive(Debug)]
struct Rank {
    parts: Vec<PartEntry>,
    through: i64,
    dropped_steps: u64,
}

impl Rank {
    fn read(dir: &Path, rank: u32) -> Result<Self, FormatError> {
        let commits = parts::read_list(&dir.join(parts::list_name(rank)))?;
        let state = |commit: &Commit| (commit.through, commit.dropped_steps);
        let (through, dropped_steps) = commits.last().map_or((0, 0), state);
        Ok(Self { parts: commits.into_iter().flat_map(|commit| commit.parts).collect(), through, dropped_steps })
    }
}

impl Run {
    /// Opens the run in `dir`: its manifest and lists of parts; part files are read later.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn open(dir: &Path) -> Result<Self, FormatError> {
        let manifest = Manifest::read(dir)?;
        let ranks: Result<Vec<Rank>, _> = (0..manifest.ranks.n_recording()).map(|rank| Rank::read(dir, rank)).collect();
        let ranks = ranks?;
        match ranks.iter().map(|rank| rank.through).min() {
            None | Some(0) => Err(FormatError::Empty { path: dir.to_owned() }),
            Some(last_step) => {
                let run = Self { dir: dir.to_owned(), manifest, ranks, last_step };
                run.check_totals()?;
                Ok(run)
            }
        }
    }

    /// A finished run's list has all the rows that the manifest counts, however they are cut into parts.
    fn check_totals(&self) -> Result<(), FormatError> {
        let Some(totals) = &self.manifest.totals else { return Ok(()) };
        for table in Table::ALL {
            let expected = totals.tables.get(&table).map_or(0, |total| total.rows);
            let found: u64 = self.ranks[0].parts.iter().filter(|part| part.table == table).map(|part| part.rows).sum();
            if found != expected {
                let reason = format!(
                    "{found} rows of {}: expected {expected}, as run.json says of the finished run",
                    table.name()
                );
                return Err(FormatError::Content { path: self.dir.join(parts::list_name(0)), reason });
            }
        }
        Ok(())
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

    /// Whether recording ended in order, and no rank's list ends before that of rank 0.
    pub fn is_finished(&self) -> bool {
        self.manifest.status == Status::Finished && self.ranks.iter().all(|rank| self.ranks[0].through <= rank.through)
    }

    /// The last step that is complete in every table of every rank.
    pub fn last_step(&self) -> i64 {
        self.last_step
    }

    /// Steps that were to be recorded and could not be kept.
    pub fn dropped_steps(&self) -> u64 {
        let known = self.ranks.iter().map(|rank| rank.dropped_steps).max().unwrap_or(0);
        known.max(self.manifest.losses.dropped_steps)
    }

    /// Ranges of steps, ends included, that should be there up to [`last_step`](Self::last_step) and are not.
    ///
    /// # Errors
    /// [`FormatError`] if `steps` cannot be read.
    pub fn missing_steps(&self) -> Result<Vec<(i64, i64)>, FormatError> {
        let mut missing = Vec::new();
        let mut expected = 1;
        for batch in self.steps() {
            for &step in batch?.step.values() {
                self.manifest.cadence.note_absent(expected, step.saturating_sub(1), &mut missing);
                expected = step.saturating_add(1);
            }
        }
        self.manifest.cadence.note_absent(expected, self.last_step, &mut missing);
        Ok(joined(missing))
    }

    /// The listed part files of a table, rank by rank in order of writing.
    pub fn parts(&self, table: Table) -> impl Iterator<Item = &PartEntry> {
        self.ranked_parts(table).map(|(_, part)| part)
    }

    fn ranked_parts(&self, table: Table) -> impl Iterator<Item = (usize, &PartEntry)> {
        let ranked =
            self.ranks.iter().enumerate().flat_map(|(rank, found)| found.parts.iter().map(move |part| (rank, part)));
        ranked.filter(move |(_, part)| part.table == table)
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
            let listed: BTreeSet<&str> = self.parts(table).map(|part| part.file.as_str()).collect();
            for entry in fs_err::read_dir(&folder)? {
                let name = entry?.file_name();
                if !name.to_str().is_some_and(|name| listed.contains(name)) {
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

    /// Rows of `scalars` up to the last complete step.
    pub fn scalars(&self) -> impl Iterator<Item = Result<ScalarBatch, FormatError>> {
        self.batches(Table::Scalars, ScalarBatch::new)
    }

    /// Rows of `steps` up to the last complete step.
    pub fn steps(&self) -> impl Iterator<Item = Result<StepBatch, FormatError>> {
        self.batches(Table::Steps, StepBatch::new)
    }

    fn batches<T>(
        &self,
        table: Table,
        decode: fn(&Source<'_>) -> Result<T, FormatError>,
    ) -> impl Iterator<Item = Result<T, FormatError>> {
        self.ranked_parts(table).flat_map(move |(rank, part)| match read_part(&self.dir, part, self.last_step) {
            Err(fault) => vec![Err(fault)],
            Ok(batches) => {
                let path = self.dir.join(part.relative_path());
                let source = |batch| Source { batch, path: &path, manifest: &self.manifest, rank: rank as u32 };
                batches.iter().map(|batch| decode(&source(batch))).collect()
            }
        })
    }
}

/// Ranges of steps in order; those that overlap or meet become one.
fn joined(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let meets = next.0 <= last.1.saturating_add(1);
        last.1 = if meets { last.1.max(next.1) } else { last.1 };
        meets
    });
    ranges
}

/// A part's rows up to a step, after checking its length, digest, columns and number of rows.
pub(crate) fn read_part(dir: &Path, part: &PartEntry, last_step: i64) -> Result<Vec<RecordBatch>, FormatError> {
    let path = place(dir, part);
    let found = fs_err::metadata(&path)?.len();
    if found != part.bytes {
        return Err(FormatError::PartSize { path, found, expected: part.bytes });
    }
    let bytes = fs_err::read(&path)?;
    part.check(&path, &bytes)?;
    let batches = decode_part(part, &path, &bytes.into())?;
    Ok(batches.iter().map(|batch| steps_through(batch, last_step)).collect())
}

/// Where a listed part is: in its table's folder, or set aside by a resumption that has not replaced the list yet.
fn place(dir: &Path, part: &PartEntry) -> PathBuf {
    let (usual, aside) = (dir.join(part.relative_path()), dir.join(SUPERSEDED).join(part.relative_path()));
    if !usual.exists() && aside.exists() { aside } else { usual }
}

/// Rows are sorted by step, so those of earlier steps come first.
fn steps_through(batch: &RecordBatch, last_step: i64) -> RecordBatch {
    let step = batch.column_by_name("step").and_then(|column| column.as_primitive_opt::<Int64Type>());
    batch.slice(0, step.map_or(0, |step| step.values().partition_point(|&step| step <= last_step)))
}

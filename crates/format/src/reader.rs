//! The checked reader: opens what the lists of parts name and what matches its digest, nothing else.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;

use crate::columns::{HistogramBatch, MagnitudeBatch, ScalarBatch, Source, StepBatch, TensorBatch};
use crate::error::FormatError;
use crate::manifest::{Manifest, Status};
use crate::part_decoder::decode_part;
use crate::part_reader::Part;
use crate::parts::{self, Commit, PartEntry};
use crate::schema::Table;
use crate::storage::{Local, Storage};

/// Where parts go that a resumed run has left behind.
pub(crate) const SUPERSEDED: &str = "superseded";

/// A run, opened for reading. Nothing in it is ever changed.
///
/// A run that is still being recorded, or was interrupted, is read up to its last complete step.
#[derive(Debug)]
pub struct Run {
    storage: Arc<dyn Storage>,
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
    fn read(storage: &dyn Storage, rank: u32) -> Result<Self, FormatError> {
        let commits = parts::read_list(storage, rank)?;
        let state = |commit: &Commit| (commit.through, commit.dropped_steps);
        let (through, dropped_steps) = commits.last().map_or((0, 0), state);
        Ok(Self { parts: commits.into_iter().flat_map(|commit| commit.parts).collect(), through, dropped_steps })
    }
}

impl Run {
    /// Opens the run in the directory `dir`: its manifest and lists of parts; part files are read later.
    ///
    /// # Errors
    /// [`FormatError`], naming the file and what was expected.
    pub fn open(dir: &Path) -> Result<Self, FormatError> {
        Self::open_in(Arc::new(Local::new(dir)))
    }

    /// [`open`](Self::open) wherever the run is kept.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_in(storage: Arc<dyn Storage>) -> Result<Self, FormatError> {
        let manifest = Manifest::read(&*storage)?;
        let ranks = 0..manifest.ranks.n_recording();
        let ranks: Vec<Rank> = ranks.map(|rank| Rank::read(&*storage, rank)).collect::<Result<_, _>>()?;
        match ranks.iter().map(|rank| rank.through).min() {
            None | Some(0) => Err(FormatError::Empty { path: storage.root().to_owned() }),
            Some(last_step) => {
                let run = Self { storage, manifest, ranks, last_step };
                run.check_totals()?;
                Ok(run)
            }
        }
    }

    /// What the run in `storage` is called, without opening it.
    ///
    /// # Errors
    /// [`FormatError`] if its manifest cannot be read.
    pub fn name_in(storage: &dyn Storage) -> Result<String, FormatError> {
        Ok(Manifest::read(storage)?.run)
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
                return Err(FormatError::Content { path: self.dir().join(parts::list_name(0)), reason });
            }
        }
        Ok(())
    }

    /// The run directory, or its URL: what the user calls it.
    pub fn dir(&self) -> &Path {
        self.storage.root()
    }

    /// Where its files are.
    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
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

    /// Changes whenever the run does: its manifest, or what the ranks have published. It says nothing of whether the
    /// files are still what was listed.
    pub fn fingerprint(&self) -> String {
        parts::digest(format!("{:?} {:?}", self.manifest, self.ranks).as_bytes())
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

    /// How many ranks wrote part files.
    pub fn n_ranks(&self) -> u32 {
        self.ranks.len() as u32
    }

    /// The listed part files of a table, rank by rank in order of writing.
    pub fn parts(&self, table: Table) -> impl Iterator<Item = &PartEntry> {
        self.ranked_parts(table).map(|(_, part)| part)
    }

    /// The part files of a table that hold any of some steps, in the order of [`parts`](Self::parts).
    pub fn parts_at(&self, table: Table, steps: &RangeInclusive<i64>) -> Vec<Part<'_>> {
        self.ranked_parts(table)
            .filter(|(_, entry)| entry.first_step <= *steps.end() && *steps.start() <= entry.last_step)
            .map(|(rank, entry)| Part { run: self, rank: rank as u32, entry })
            .collect()
    }

    /// The listed part files of a table, each with its rank.
    pub fn ranked_parts(&self, table: Table) -> impl Iterator<Item = (usize, &PartEntry)> {
        let ranked =
            self.ranks.iter().enumerate().flat_map(|(rank, found)| found.parts.iter().map(move |part| (rank, part)));
        ranked.filter(move |(_, part)| part.table == table)
    }

    /// A listed part file of some rank, by itself.
    pub fn part<'a>(&'a self, rank: usize, entry: &'a PartEntry) -> Part<'a> {
        Part { run: self, rank: rank as u32, entry }
    }

    /// Where a listed part's file is: in its table's folder, or set aside by a resumption that has not replaced the list yet.
    pub fn part_path(&self, part: &PartEntry) -> PathBuf {
        let usual = self.dir().join(part.relative_path());
        let aside = self.dir().join(SUPERSEDED).join(part.relative_path());
        if !usual.exists() && aside.exists() { aside } else { usual }
    }

    /// Files in the tables' folders that no list names: left by a crash, or by someone else. They are never read.
    ///
    /// # Errors
    /// [`FormatError::Io`] if a folder cannot be listed.
    pub fn orphans(&self) -> Result<Vec<PathBuf>, FormatError> {
        let mut orphans = Vec::new();
        for table in Table::ALL {
            let names = match self.storage.list(table.name().as_ref()) {
                Err(absence) if absence.is_absence() => continue,
                names => names?,
            };
            let listed: BTreeSet<&str> = self.parts(table).map(|part| part.file.as_str()).collect();
            let unlisted = names.iter().filter(|name| !listed.contains(name.as_str()));
            orphans.extend(unlisted.map(|name| self.dir().join(table.name()).join(name)));
        }
        orphans.sort();
        Ok(orphans)
    }

    /// Rows of `magnitudes` up to the last complete step.
    pub fn magnitudes(&self) -> impl Iterator<Item = Result<MagnitudeBatch, FormatError>> {
        self.batches(Table::Magnitudes, any_part, MagnitudeBatch::new)
    }

    /// Rows of `magnitudes` that one rank wrote, of the parts that are wanted. Others are not opened, nor checked.
    pub fn magnitudes_of(
        &self,
        rank: u32,
        wanted: impl Fn(&PartEntry) -> bool,
    ) -> impl Iterator<Item = Result<MagnitudeBatch, FormatError>> {
        self.batches(Table::Magnitudes, move |of, part| of == rank && wanted(part), MagnitudeBatch::new)
    }

    /// Rows of `histograms` up to the last complete step.
    pub fn histograms(&self) -> impl Iterator<Item = Result<HistogramBatch, FormatError>> {
        self.batches(Table::Histograms, any_part, HistogramBatch::new)
    }

    /// Rows of `histograms` that one rank wrote, of the parts that are wanted. Others are not opened, nor checked.
    pub fn histograms_of(
        &self,
        rank: u32,
        wanted: impl Fn(&PartEntry) -> bool,
    ) -> impl Iterator<Item = Result<HistogramBatch, FormatError>> {
        self.batches(Table::Histograms, move |of, part| of == rank && wanted(part), HistogramBatch::new)
    }

    /// Rows of `tensors` up to the last complete step.
    pub fn tensors(&self) -> impl Iterator<Item = Result<TensorBatch, FormatError>> {
        self.batches(Table::Tensors, any_part, TensorBatch::new)
    }

    /// Rows of `tensors` that one rank wrote, of the parts that are wanted. Others are not opened, nor checked.
    pub fn tensors_of(
        &self,
        rank: u32,
        wanted: impl Fn(&PartEntry) -> bool,
    ) -> impl Iterator<Item = Result<TensorBatch, FormatError>> {
        self.batches(Table::Tensors, move |of, part| of == rank && wanted(part), TensorBatch::new)
    }

    /// Rows of `scalars` up to the last complete step.
    pub fn scalars(&self) -> impl Iterator<Item = Result<ScalarBatch, FormatError>> {
        self.batches(Table::Scalars, any_part, ScalarBatch::new)
    }

    /// Rows of `steps` up to the last complete step.
    pub fn steps(&self) -> impl Iterator<Item = Result<StepBatch, FormatError>> {
        self.batches(Table::Steps, any_part, StepBatch::new)
    }

    fn batches<T>(
        &self,
        table: Table,
        wanted: impl Fn(u32, &PartEntry) -> bool,
        decode: fn(&Source<'_>) -> Result<T, FormatError>,
    ) -> impl Iterator<Item = Result<T, FormatError>> {
        let parts = self.ranked_parts(table).filter(move |&(rank, part)| wanted(rank as u32, part));
        let parts = parts.map(|(rank, entry)| Part { run: self, rank: rank as u32, entry });
        parts.flat_map(move |part| match part.decode(decode) {
            Err(fault) => vec![Err(fault)],
            Ok(batches) => batches.into_iter().map(Ok).collect(),
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

fn any_part(_rank: u32, _part: &PartEntry) -> bool {
    true
}

/// A part's rows up to a step, after checking its length, digest, columns and number of rows; all columns, or those named,
/// the step among them.
pub(crate) fn read_part(
    storage: &dyn Storage,
    part: &PartEntry,
    columns: Option<&[&str]>,
    last_step: i64,
) -> Result<Vec<RecordBatch>, FormatError> {
    let (path, bytes) = checked_bytes(storage, part)?;
    let batches = decode_part(part, columns, &path, &bytes)?;
    Ok(batches.iter().map(|batch| steps_through(batch, last_step)).collect())
}

/// A listed part's path and bytes, which are those that were written.
pub(crate) fn checked_bytes(storage: &dyn Storage, part: &PartEntry) -> Result<(PathBuf, Bytes), FormatError> {
    let (path, bytes) = part_bytes(storage, part)?;
    part.check(&path, &bytes)?;
    Ok((path, bytes.into()))
}

/// A listed part, whole: from its table's folder, or set aside by a resumption that has not replaced the list yet.
fn part_bytes(storage: &dyn Storage, part: &PartEntry) -> Result<(PathBuf, Vec<u8>), FormatError> {
    let read = |file: &Path| -> Result<(PathBuf, Vec<u8>), FormatError> {
        let path = storage.root().join(file);
        let admit = |bytes| part.check_len(&path, bytes);
        let bytes = storage.read(file, &admit)?;
        Ok((path, bytes))
    };
    let usual = part.relative_path();
    match read(&usual) {
        Err(absence) if absence.is_absence() => {
            let aside = read(&Path::new(SUPERSEDED).join(&usual));
            aside.map_err(|fault| if fault.is_absence() { absence } else { fault })
        }
        found => found,
    }
}

/// Rows are sorted by step, so those of earlier steps come first.
fn steps_through(batch: &RecordBatch, last_step: i64) -> RecordBatch {
    let step = batch.column_by_name("step").and_then(|column| column.as_primitive_opt::<Int64Type>());
    batch.slice(0, step.map_or(0, |step| step.values().partition_point(|&step| step <= last_step)))
}

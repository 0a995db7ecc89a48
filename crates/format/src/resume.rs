//! Taking up an interrupted run.
//!
//! A run resumed after step N goes on as if it had never been beyond N: parts of later steps move to `superseded/`, a part that
//! straddles N is written anew without them, and then the list of parts is replaced. That replacement is what
//! counts. Until it is done the reader finds listed parts in `superseded/` as well, so a crash at any moment leaves
//! either the old run or the resumed one, marked `running` in either case; and at no moment do two files in the tables'
//! folders hold the same rows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::error::FormatError;
use crate::folders::Folders;
use crate::fs::{Disk, FileSystem};
use crate::lock::Lock;
use crate::manifest::{self, Manifest, Resumption, Status};
use crate::parquet_file::{encode_batches, part_metadata};
use crate::part_decoder::check_part;
use crate::parts::{self, Commit, PartEntry, list_name, part_name, read_list};
use crate::publish::publish_on;
use crate::reader;
use crate::storage::Local;
use crate::writer::{RunWriter, WriterOptions, make_folders};

impl RunWriter {
    /// Takes up the run in `dir` after a step; what had been recorded of later steps is set aside in `superseded/`.
    ///
    /// `manifest` says what is to be recorded from now on, which must be what was recorded before.
    ///
    /// # Errors
    /// [`FormatError::Resume`] if it is not, [`FormatError::Locked`] if another process records into the run, and whatever
    /// reading the run or writing brings. The run's steps are then what they were, or those up to `after_step`.
    pub fn resume(
        dir: &Path,
        manifest: &Manifest,
        after_step: i64,
        moments_restored: bool,
        options: WriterOptions,
    ) -> Result<Self, FormatError> {
        let at = Resumption { after_step, at: manifest::now(), moments_restored };
        Self::resume_on(Arc::new(Disk), dir, 0, manifest, at, options)
    }

    /// [`resume`](Self::resume) for one of several ranks, on any file system.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub fn resume_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        rank: u32,
        manifest: &Manifest,
        at: Resumption,
        options: WriterOptions,
    ) -> Result<Self, FormatError> {
        // Looked at twice: no lock where there is no run, and what is read before locking may change.
        let storage = Local::new(dir);
        Manifest::read(&storage)?;
        let lock = Lock::take(dir, rank)?;
        let mut before = Manifest::read(&storage)?;
        if let Some(reason) = difference(&before, manifest) {
            return Err(FormatError::Resume { path: dir.to_owned(), reason });
        }
        before.status = Status::Running;
        (before.finished, before.totals) = (None, None);
        let commits = read_list(&storage, rank)?;
        let rewind = Rewind { fs: &*fs, dir, rank, manifest: &before, after_step: at.after_step };
        let (commit, next_part) = rewind.run(&commits)?;
        before.losses.dropped_steps = commit.dropped_steps;
        before.resumed.push(at);
        let mut writer = Self::new(fs, dir, rank, lock, before, options);
        writer.generation = commit.generation;
        writer.next_part = next_part;
        writer.through = commit.through;
        writer.totals.extend(&commit.parts);
        if rank == 0 {
            writer.manifest.write(&*writer.fs, dir)?;
        }
        Ok(writer)
    }
}

/// What keeps a run from going on as another, if anything does.
fn difference(before: &Manifest, now: &Manifest) -> Option<String> {
    let differs = |what: &str| Some(format!("{what} differ from those recorded so far"));
    let names = |manifest: &Manifest| {
        let mut tensors = manifest.tensors.clone();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    };
    let quantities = |manifest: &Manifest| {
        let mut quantities = manifest.quantities.clone();
        quantities.sort();
        quantities
    };
    match () {
        () if names(before) != names(now) => differs("the tensors"),
        () if quantities(before) != quantities(now) => differs("the quantities"),
        () if before.cadence != now.cadence => differs("the steps to record"),
        () if (before.magnitudes, before.signs) != (now.magnitudes, now.signs) => differs("the recorded elements"),
        () if before.histograms != now.histograms => differs("the tables"),
        () if before.critical_epsilon != now.critical_epsilon => {
            differs("the decay rates or steps of critical epsilons")
        }
        () if before.gradient != now.gradient => differs("the definitions of gradient"),
        () if (before.ranks, before.mode) != (now.ranks, now.mode) => differs("ranks or mode"),
        () => None,
    }
}

struct Rewind<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    rank: u32,
    manifest: &'a Manifest,
    after_step: i64,
}

impl Rewind<'_> {
    /// Leaves in the tables' folders and in the list what belongs to steps up to `after_step`; gives the list's one
    /// commit and the number of the next part.
    fn run(&self, commits: &[Commit]) -> Result<(Commit, u64), FormatError> {
        let listed: Vec<&PartEntry> = commits.iter().flat_map(|commit| &commit.parts).collect();
        let folders = Folders { fs: self.fs, dir: self.dir, rank: self.rank };
        let mut next_part = folders.next_part(&listed)?;
        let (kept, straddling): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .filter(|part| part.first_step <= self.after_step)
            .partition(|part| part.last_step <= self.after_step);
        // Read before anything moves: damage is found while nothing has changed.
        let mut rewritten = Vec::new();
        for part in straddling {
            rewritten.push(self.rewritten(part, next_part)?);
            next_part += 1;
        }
        make_folders(self.fs, self.dir, self.rank)?;
        if self.rank == 0 {
            self.manifest.write(self.fs, self.dir)?;
        }
        folders.set_aside(&kept)?;
        for (part, bytes) in &rewritten {
            publish_on(self.fs, &self.dir.join(part.table.name()), &part.file, bytes)?;
        }
        let last = commits.last();
        // Where the step lies between two commits, the later one counts too many rather than too few.
        let dropped = commits.iter().find(|commit| self.after_step <= commit.through).or(last);
        let commit = Commit {
            generation: last.map_or(0, |commit| commit.generation) + 1,
            through: last.map_or(0, |commit| commit.through).min(self.after_step).max(0),
            dropped_steps: dropped.map_or(0, |commit| commit.dropped_steps),
            parts: kept.into_iter().cloned().chain(rewritten.into_iter().map(|(part, _)| part)).collect(),
        };
        let line = parts::line(&self.dir.join(list_name(self.rank)), &commit)?;
        publish_on(self.fs, self.dir, &list_name(self.rank), &line)?;
        Ok((commit, next_part))
    }

    /// A part without the rows of later steps.
    fn rewritten(&self, part: &PartEntry, number: u64) -> Result<(PartEntry, Vec<u8>), FormatError> {
        let batches = reader::read_part(&Local::new(self.dir), part, None, self.after_step)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let file = part_name(self.rank, number);
        let path = self.dir.join(part.relative_path());
        let bytes = encode_batches(
            part.table,
            &path,
            &part_metadata(part.table, self.manifest),
            batches.iter().cloned().map(Ok),
        )?;
        let last_step = batches.iter().filter_map(last_step).max().unwrap_or(part.first_step);
        let entry = PartEntry::of(part.table, file, rows, (part.first_step, last_step), &bytes);
        check_part(&entry, &path, &bytes)?;
        Ok((entry, bytes))
    }
}

fn last_step(batch: &RecordBatch) -> Option<i64> {
    batch.column_by_name("step")?.as_primitive::<Int64Type>().values().last().copied()
}

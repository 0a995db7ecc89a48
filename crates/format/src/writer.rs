//! Steps in, part files out.
//!
//! Rows are buffered per table and published together; then one line in the list of parts says up to which step the run
//! is complete. What crashes and failing disks lose, the crate's first page says.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buffers::{Buffers, TableRows};
use crate::error::FormatError;
use crate::fs::{Disk, FileSystem};
use crate::lock::Lock;
use crate::manifest::{self, Losses, Manifest, Status, Totals};
use crate::parquet_file::part_metadata;
use crate::part_decoder::check_part;
use crate::part_encoder::encode_part;
use crate::parts::{self, Commit, PartEntry, list_name, part_name, part_number};
use crate::publish::{publish_on, remove_temporaries};
use crate::record::StepRecord;
use crate::schema::Table;
use crate::storage::Local;

/// When buffered rows become part files.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Rows of one table after which part files are due; a part holds less than twice as many. Half a million
    /// magnitudes take 2 MiB.
    pub flush_rows: usize,
    /// Seconds that a step waits at most, as long as [`RunWriter::flush_if_due`] is called.
    pub flush_secs: f64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { flush_rows: 500_000, flush_secs: 5.0 }
    }
}

/// The only writer of a rank of a run; dropping it without [`finish`](Self::finish) leaves a readable run marked
/// `running`.
pub struct RunWriter {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
    pub(crate) rank: u32,
    pub(crate) generation: u32,
    pub(crate) manifest: Manifest,
    pub(crate) options: WriterOptions,
    pub(crate) buffers: Buffers,
    /// Encoded, and not on disk yet.
    pub(crate) unpublished: Option<Unpublished>,
    pub(crate) last_attempt: Instant,
    pub(crate) next_part: u64,
    /// The step up to which everything is buffered or published.
    pub(crate) through: i64,
    /// Steps dropped before that one.
    pub(crate) dropped_before: u64,
    pub(crate) totals: Totals,
    /// Whether the last attempt to write failed.
    pub(crate) is_failing: bool,
    /// Whether the list ends with a line's end for certain; if not, it is written anew.
    pub(crate) is_list_whole: bool,
    pub(crate) _lock: Lock,
}

/// What a flush has still to do.
pub(crate) struct Unpublished {
    /// Parts whose files are still to be written.
    files: Vec<(PartEntry, Vec<u8>)>,
    commit: Commit,
    n_steps: u64,
}

impl RunWriter {
    /// Makes the run directory and writes its manifest.
    ///
    /// # Errors
    /// [`FormatError::AlreadyARun`] if there is a manifest, [`FormatError::Locked`] if another process records
    /// into it, [`FormatError::Io`] if the directory cannot be written.
    pub fn create(dir: &Path, manifest: Manifest, options: WriterOptions) -> Result<Self, FormatError> {
        Self::create_on(Arc::new(Disk), dir, 0, manifest, options)
    }

    /// [`create`](Self::create) for one of several ranks, on any file system.
    ///
    /// Rank 0 writes the manifest; the others only their part files, and may begin before or after it.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        rank: u32,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<Self, FormatError> {
        fs.create_dir_all(dir)?;
        let lock = Lock::take(dir, rank)?;
        let mark = if rank == 0 { manifest::FILE_NAME.to_owned() } else { list_name(rank) };
        if dir.join(mark).exists() {
            return Err(FormatError::AlreadyARun { path: dir.to_owned() });
        }
        make_folders(&*fs, dir, rank)?;
        publish_on(&*fs, dir, &list_name(rank), b"")?;
        let writer = Self::new(fs, dir, rank, lock, manifest, options);
        if rank == 0 {
            writer.manifest.write(&*writer.fs, dir)?;
        }
        Ok(writer)
    }

    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        rank: u32,
        lock: Lock,
        mut manifest: Manifest,
        options: WriterOptions,
    ) -> Self {
        manifest.quantities.sort();
        manifest.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            fs,
            dir: dir.to_owned(),
            rank,
            generation: 0,
            manifest,
            options,
            buffers: Buffers::default(),
            unpublished: None,
            last_attempt: Instant::now(),
            next_part: 0,
            through: 0,
            dropped_before: 0,
            totals: Totals::default(),
            is_failing: false,
            is_list_whole: true,
            _lock: lock,
        }
    }

    /// The manifest, its tensors and quantities in the order that observations refer to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What could not be kept so far.
    pub fn losses(&self) -> &Losses {
        &self.manifest.losses
    }

    /// Takes one step; publishes part files when they are due.
    ///
    /// # Errors
    /// [`FormatError::StepOrder`] if the step does not come after all others; it is not taken then. Any other
    /// [`FormatError`] once when writing begins to fail; the writer goes on.
    pub fn append(&mut self, record: StepRecord) -> Result<(), FormatError> {
        if record.step <= self.through {
            return Err(FormatError::StepOrder { path: self.dir.clone(), found: record.step, last: self.through });
        }
        // A disk that takes rows again makes room first.
        let before = if self.is_full() { self.flush_if_due() } else { Ok(()) };
        if self.is_full() {
            self.drop_steps(1);
        } else {
            self.through = record.step;
            self.dropped_before = self.manifest.losses.dropped_steps;
            self.buffers.push(record, &self.manifest);
        }
        before.and(self.flush_if_due())
    }

    /// Whether rows wait for the disk and no more can be kept.
    fn is_full(&self) -> bool {
        self.unpublished.is_some() && self.options.flush_rows <= self.buffers.longest()
    }

    /// Takes scalars of a step that came before, recorded or not. Their names are cut after [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES).
    pub fn append_scalars(&mut self, step: i64, scalars: Vec<(String, f64)>) {
        if !self.is_full() {
            self.through = self.through.max(step);
            self.buffers.push_scalars(step, scalars);
        }
    }

    /// Counts steps that were to be recorded and never came.
    pub fn drop_steps(&mut self, n_steps: u64) {
        self.manifest.losses.dropped_steps += n_steps;
    }

    /// Keeps the cause of a loss, to be told in the manifest; the first few are kept.
    pub fn note_fault(&mut self, fault: String) {
        self.manifest.losses.note(fault);
    }

    /// Publishes part files if they are due.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn flush_if_due(&mut self) -> Result<(), FormatError> {
        let fills_a_part = self.unpublished.is_none() && self.options.flush_rows <= self.buffers.longest();
        if !fills_a_part && !self.until_due().is_zero() {
            return Ok(());
        }
        let was_failing = self.is_failing;
        self.flush().or_else(|fault| if was_failing { Ok(()) } else { Err(fault) })
    }

    /// How long until [`flush_if_due`](Self::flush_if_due) has something to do.
    pub fn until_due(&self) -> Duration {
        let period = Duration::try_from_secs_f64(self.options.flush_secs).unwrap_or(Duration::MAX);
        period.saturating_sub(self.last_attempt.elapsed())
    }

    /// Publishes what is buffered; the run goes on.
    ///
    /// # Errors
    /// [`FormatError`] if that fails; it is tried again when the next flush is due, and nothing is lost yet.
    pub fn flush(&mut self) -> Result<(), FormatError> {
        self.last_attempt = Instant::now();
        let flushed = self.publish_waiting().and_then(|()| {
            self.encode_buffers()?;
            self.publish_waiting()
        });
        self.is_failing = flushed.is_err();
        if let Err(fault) = &flushed {
            self.manifest.losses.note(fault.to_string());
        }
        flushed
    }

    /// Publishes what is buffered and marks the run finished.
    ///
    /// # Errors
    /// [`FormatError`] if that cannot be written; the run is then marked failed, if that is still possible.
    pub fn finish(self) -> Result<Losses, FormatError> {
        self.end(Status::Finished)
    }

    /// Marks the run failed for a reason of the caller's, after publishing what is buffered.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub fn fail(mut self, reason: String) -> Result<(), FormatError> {
        self.manifest.losses.note(reason);
        self.end(Status::Failed).map(|_losses| ())
    }

    fn end(mut self, status: Status) -> Result<Losses, FormatError> {
        let flushed = self.flush();
        self.drop_steps(self.n_unpublished_steps());
        if self.rank == 0 {
            self.manifest.status = if flushed.is_ok() { status } else { Status::Failed };
            self.manifest.finished = Some(manifest::now());
            self.manifest.totals = (self.manifest.status == Status::Finished).then_some(self.totals);
            // The fault that came first is the one to tell.
            return flushed.and(self.manifest.write(&*self.fs, &self.dir)).map(|()| self.manifest.losses);
        }
        flushed.map(|()| self.manifest.losses)
    }

    /// Steps that no reader sees. A line may have got into the list although its fsync failed.
    fn n_unpublished_steps(&self) -> u64 {
        let listed = || parts::read_list(&Local::new(&self.dir), self.rank);
        let is_listed = |commit| listed().is_ok_and(|commits| commits.last() == Some(commit));
        let waiting = self.unpublished.as_ref().filter(|waiting| !is_listed(&waiting.commit));
        self.buffers.n_steps() as u64 + waiting.map_or(0, |waiting| waiting.n_steps)
    }

    /// Turns buffered rows into the bytes of part files.
    fn encode_buffers(&mut self) -> Result<(), FormatError> {
        let buffers = std::mem::take(&mut self.buffers);
        if buffers.longest() == 0 {
            return Ok(());
        }
        let n_steps = buffers.n_steps() as u64;
        // What cannot be encoded now never can.
        let files = self.encode_parts(&buffers).inspect_err(|_fault| self.drop_steps(n_steps))?;
        self.next_part += files.len() as u64;
        let commit = Commit {
            generation: self.generation,
            through: self.through,
            dropped_steps: self.dropped_before,
            parts: files.iter().map(|(entry, _)| entry.clone()).collect(),
        };
        self.unpublished = Some(Unpublished { files, commit, n_steps });
        Ok(())
    }

    fn encode_parts(&self, buffers: &Buffers) -> Result<Vec<(PartEntry, Vec<u8>)>, FormatError> {
        let mut files = Vec::new();
        for rows in buffers.tables().into_iter().filter(|rows| self.rank == 0 || rows.table() != Table::Steps) {
            let n_parts = (rows.len() / self.options.flush_rows.max(1)).max(1);
            let bound = |part: usize| rows.len() * part / n_parts;
            for range in (0..n_parts).map(|part| bound(part)..bound(part + 1)).filter(|range| !range.is_empty()) {
                let file = part_name(self.rank, self.next_part + files.len() as u64);
                files.push(self.encode(file, rows, range)?);
            }
        }
        Ok(files)
    }

    fn encode(
        &self,
        file: String,
        rows: &dyn TableRows,
        range: Range<usize>,
    ) -> Result<(PartEntry, Vec<u8>), FormatError> {
        let table = rows.table();
        let metadata = part_metadata(table, &self.manifest);
        let path = self.dir.join(table.name()).join(&file);
        let bytes = encode_part(table, &metadata, |part| rows.encode(range.clone(), &self.manifest, part))
            .map_err(|source| FormatError::Parquet { path: path.clone(), source })?;
        let steps = (rows.step(range.start), rows.step(range.end - 1));
        let entry = PartEntry::of(table, file, range.len(), steps, &bytes);
        check_part(&entry, &path, &bytes)?;
        Ok((entry, bytes))
    }

    /// Writes encoded parts, then the line that lists them. What is done stays done if a later call fails.
    fn publish_waiting(&mut self) -> Result<(), FormatError> {
        let Some(waiting) = &mut self.unpublished else { return Ok(()) };
        while let Some((entry, bytes)) = waiting.files.first() {
            publish_on(&*self.fs, &self.dir.join(entry.table.name()), &entry.file, bytes)?;
            waiting.files.remove(0);
        }
        let commit = waiting.commit.clone();
        self.list(&commit)?;
        self.unpublished = None;
        self.totals.extend(&commit.parts);
        Ok(())
    }

    /// Adds a commit to the list. Half a line may be left where that fails: then the list is written anew.
    fn list(&mut self, commit: &Commit) -> Result<(), FormatError> {
        let path = self.dir.join(list_name(self.rank));
        let line = parts::line(&path, commit)?;
        let is_appended = std::mem::take(&mut self.is_list_whole) && append(&*self.fs, &path, &line).is_ok();
        if !is_appended {
            let mut text = fs_err::read(&path)?;
            text.truncate(parts::complete_lines(&text).len());
            // The line may have got there whole, and only its fsync failed.
            if !text.ends_with(&line) {
                text.extend(line);
            }
            publish_on(&*self.fs, &self.dir, &list_name(self.rank), &text)?;
        }
        self.is_list_whole = true;
        Ok(())
    }
}

fn append(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.append(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the tables' folders, and removes what a killed writer of this rank left half written.
pub(crate) fn make_folders(fs: &dyn FileSystem, dir: &Path, rank: u32) -> io::Result<()> {
    let is_own = |name: &str| {
        part_number(rank, name).is_some() || name == list_name(rank) || rank == 0 && name == manifest::FILE_NAME
    };
    for table in Table::ALL {
        let folder = dir.join(table.name());
        fs.create_dir_all(&folder)?;
        remove_temporaries(fs, &folder, is_own)?;
    }
    remove_temporaries(fs, dir, is_own)?;
    fs.sync_dir(dir)
}

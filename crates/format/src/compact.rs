//! Many small part files into few.
//!
//! A recorder publishes part files every few seconds; a long run has thousands. Compaction writes the rows of neighbouring
//! parts of a table into one part, as they are and in their order. New parts get new numbers; then one replacement of
//! the list makes them the run's; then the old ones are removed. That replacement is what counts: a crash at any moment
//! leaves the same rows, listed once, and at most files that no list names, which the next compaction or resumption sets
//! aside.
//!
//! Whoever reads `<table>/*.parquet` without the list may see rows twice until it is done, or after a crash; whoever holds
//! an open [`Run`](crate::Run) finds parts gone, and opens it anew.

use std::path::Path;

use arrow::array::RecordBatch;

use crate::error::FormatError;
use crate::folders::Folders;
use crate::fs::{Disk, FileSystem};
use crate::lock::Lock;
use crate::manifest::{Manifest, Totals};
use crate::parquet_file::{encode_batches, part_metadata};
use crate::part_decoder::check_part;
use crate::parts::{self, Commit, MAX_PART_BYTES, PartEntry, list_name, part_name, read_list};
use crate::publish::publish_on;
use crate::reader::read_part;
use crate::schema::Table;
use crate::storage::Local;
use crate::writer::make_folders;

/// How large compacted parts become.
#[derive(Clone, Copy, Debug)]
pub struct CompactOptions {
    /// Rows of a part at most; a part that holds more already stays as it is.
    pub part_rows: u64,
}

impl Default for CompactOptions {
    /// Half a million rows, as many as a recorder puts into a part at most: one row group, up to 2.5 MiB. Larger parts
    /// are read no faster and weigh no less, but take more memory: histograms of a run of 13 million rows are read in
    /// some 0.3 s of a processor's time from parts of 250,000 rows and from parts of 4 million, with 52 MiB and with 139 MiB.
    fn default() -> Self {
        Self { part_rows: 500_000 }
    }
}

/// What a run's tables amount to before and after, over all ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// The parts there were.
    pub before: Totals,
    /// The parts there are; of a plan, their bytes are those before, since nothing was encoded.
    pub after: Totals,
}

/// Compacts the run in `dir`, finished or interrupted. A second time there is nothing to do.
///
/// # Errors
/// [`FormatError::Locked`] if the run is being recorded, and whatever reading its parts or writing new ones brings. The
/// run's rows are the same in any case.
pub fn compact(dir: &Path, options: CompactOptions) -> Result<Compaction, FormatError> {
    compact_on(&Disk, dir, options)
}

/// [`compact`] on any file system.
///
/// # Errors
/// As for [`compact`].
pub fn compact_on(fs: &dyn FileSystem, dir: &Path, options: CompactOptions) -> Result<Compaction, FormatError> {
    // No lock where there is no run; what is read before locking may change.
    let storage = Local::new(dir);
    let n_ranks = Manifest::read(&storage)?.ranks.n_recording();
    let _locks = (0..n_ranks).map(|rank| Lock::take(dir, rank)).collect::<Result<Vec<Lock>, _>>()?;
    let mut manifest = Manifest::read(&storage)?;
    let mut compaction = Compaction::default();
    for rank in 0..n_ranks {
        let folders = Folders { fs, dir, rank };
        let (before, after) = Compactor { folders, manifest: &manifest, options }.run()?;
        compaction.before.extend(&before);
        compaction.after.extend(&after);
        if rank == 0 {
            manifest = with_totals(fs, dir, manifest, &after)?;
        }
    }
    Ok(compaction)
}

/// What [`compact`] would do, as far as the lists of parts tell.
///
/// # Errors
/// Whatever reading the manifest or a list brings.
pub fn plan_compaction(dir: &Path, options: CompactOptions) -> Result<Compaction, FormatError> {
    let mut plan = Compaction::default();
    let storage = Local::new(dir);
    for rank in 0..Manifest::read(&storage)?.ranks.n_recording() {
        let parts: Vec<PartEntry> = listed(&read_list(&storage, rank)?);
        plan.before.extend(&parts);
        for group in groups(&parts, options) {
            let sum = |value: fn(&PartEntry) -> u64| group.iter().map(|part| value(part)).sum();
            plan.after.add(&PartEntry {
                rows: sum(|part| part.rows),
                bytes: sum(|part| part.bytes),
                ..group[0].clone()
            });
        }
    }
    Ok(plan)
}

fn listed(commits: &[Commit]) -> Vec<PartEntry> {
    commits.iter().flat_map(|commit| &commit.parts).cloned().collect()
}

/// Neighbouring parts of each table that become one. As many rows as two neighbouring groups have are too many for one,
/// so that what has been compacted stays as it is.
fn groups(parts: &[PartEntry], options: CompactOptions) -> Vec<Vec<&PartEntry>> {
    let mut groups: Vec<Vec<&PartEntry>> = Vec::new();
    for table in Table::ALL {
        let mut open: Option<Vec<&PartEntry>> = None;
        for part in parts.iter().filter(|part| part.table == table) {
            match &mut open {
                Some(group) if fits(group, part, options) => group.push(part),
                _ => groups.extend(open.replace(vec![part])),
            }
        }
        groups.extend(open);
    }
    groups
}

fn fits(group: &[&PartEntry], part: &PartEntry, options: CompactOptions) -> bool {
    let sum = |value: fn(&PartEntry) -> u64| group.iter().map(|part| value(part)).sum::<u64>() + value(part);
    let follows = group.last().is_some_and(|last| last.last_step <= part.first_step);
    // Rows take no more room together than apart; half of what readers accept leaves no doubt.
    follows && sum(|part| part.rows) <= options.part_rows && sum(|part| part.bytes) <= MAX_PART_BYTES / 2
}

/// One rank of a run whose lock is held.
struct Compactor<'a> {
    folders: Folders<'a>,
    manifest: &'a Manifest,
    options: CompactOptions,
}

impl Compactor<'_> {
    /// The parts before and after.
    fn run(&self) -> Result<(Vec<PartEntry>, Vec<PartEntry>), FormatError> {
        let Folders { fs, dir, rank } = self.folders;
        let commits = read_list(&Local::new(dir), rank)?;
        let before = listed(&commits);
        make_folders(fs, dir, rank)?;
        self.folders.set_aside(&before.iter().collect::<Vec<_>>())?;
        let groups = groups(&before, self.options);
        if groups.len() == before.len() {
            return Ok((before.clone(), before));
        }
        let after = self.write(&groups)?;
        publish_on(fs, dir, &list_name(rank), &self.list(&commits, &after)?)?;
        self.remove(before.iter().filter(|part| !after.contains(part)))?;
        Ok((before, after))
    }

    /// Writes a part for each group of several. Where that fails, those written are removed again.
    fn write(&self, groups: &[Vec<&PartEntry>]) -> Result<Vec<PartEntry>, FormatError> {
        let listed: Vec<&PartEntry> = groups.concat();
        let first_new = self.folders.next_part(&listed)?;
        let (mut after, mut new) = (Vec::new(), Vec::new());
        for group in groups {
            if let [part] = group[..] {
                after.push(part.clone());
                continue;
            }
            let part = self.write_merged(group, first_new + new.len() as u64).inspect_err(|_fault| {
                // What stays behind is listed nowhere and set aside the next time.
                let _ = self.remove(&new);
            })?;
            new.push(part.clone());
            after.push(part);
        }
        Ok(after)
    }

    /// Writes the rows of a group as one part, reading one part of it at a time.
    fn write_merged(&self, group: &[&PartEntry], number: u64) -> Result<PartEntry, FormatError> {
        let Folders { fs, dir, rank } = self.folders;
        let (table, file) = (group[0].table, part_name(rank, number));
        let folder = dir.join(table.name());
        let mut n_rows = 0;
        let batches = group.iter().flat_map(|part| rows_of(dir, part)).inspect(|batch| {
            n_rows += batch.as_ref().map_or(0, RecordBatch::num_rows);
        });
        let bytes = encode_batches(table, &folder.join(&file), &part_metadata(table, self.manifest), batches)?;
        let steps = (group[0].first_step, group[group.len() - 1].last_step);
        let entry = PartEntry::of(table, file, n_rows, steps, &bytes);
        check_part(&entry, &folder.join(&entry.file), &bytes)?;
        publish_on(fs, &folder, &entry.file, &bytes)?;
        Ok(entry)
    }

    /// The list's lines when these are its parts: one, and one for every number of dropped steps that there was before,
    /// which a resumption at an earlier step looks up.
    fn list(&self, commits: &[Commit], after: &[PartEntry]) -> Result<Vec<u8>, FormatError> {
        let ends = commits.chunk_by(|one, next| one.dropped_steps == next.dropped_steps).filter_map(<[Commit]>::last);
        let mut kept: Vec<Commit> = ends.map(|commit| Commit { parts: Vec::new(), ..commit.clone() }).collect();
        if let Some(last) = kept.last_mut() {
            last.parts = after.to_vec();
        }
        let path = self.folders.dir.join(list_name(self.folders.rank));
        let lines = kept.iter().map(|commit| parts::line(&path, commit)).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.concat())
    }

    fn remove<'p>(&self, parts: impl IntoIterator<Item = &'p PartEntry>) -> Result<(), FormatError> {
        let Folders { fs, dir, .. } = self.folders;
        for part in parts {
            fs.remove_file(&dir.join(part.relative_path()))?;
        }
        Ok(())
    }
}

/// Everything in a part, or what is wrong with it.
fn rows_of(dir: &Path, part: &PartEntry) -> Vec<Result<RecordBatch, FormatError>> {
    match read_part(&Local::new(dir), part, None, i64::MAX) {
        Ok(batches) => batches.into_iter().map(Ok).collect(),
        Err(fault) => vec![Err(fault)],
    }
}

/// Gives a finished run's manifest the totals of its parts, which an earlier compaction may not have come to.
fn with_totals(
    fs: &dyn FileSystem,
    dir: &Path,
    manifest: Manifest,
    parts: &[PartEntry],
) -> Result<Manifest, FormatError> {
    let mut totals = Totals::default();
    totals.extend(parts);
    if manifest.totals.as_ref().is_none_or(|before| *before == totals) {
        return Ok(manifest);
    }
    let manifest = Manifest { totals: Some(totals), ..manifest };
    manifest.write(fs, dir)?;
    Ok(manifest)
}

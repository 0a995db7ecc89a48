//! The list of finished part files, `parts-r000.jsonl`: what is not listed there is not read.
//!
//! One line per flush, a *commit*: the parts that it published and the step up to which the rank's rows are then complete.
//! A line is added after its parts are on disk, and carries a digest of itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use twox_hash::XxHash3_128;

use crate::error::FormatError;
use crate::schema::Table;
use crate::storage::Storage;

/// Parts are at most 8 MiB when written here; larger ones than this are not ours.
pub(crate) const MAX_PART_BYTES: u64 = 64 << 20;
/// A million rows are in one when written here.
pub(crate) const MAX_PART_ROWS: u64 = 4 << 20;
/// A list of this size names half a million parts.
const MAX_LIST_BYTES: u64 = 128 << 20;

/// What one flush added to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    /// How often the run had been resumed.
    pub(crate) generation: u32,
    /// The step up to which every row is published now.
    pub(crate) through: i64,
    /// Steps before `through` that were to be recorded and could not be kept.
    pub(crate) dropped_steps: u64,
    /// The new part files.
    pub(crate) parts: Vec<PartEntry>,
}

/// A part file as it was when it was finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// The table it belongs to; with `file` this gives the path.
    pub table: Table,
    /// The file's name inside the table's folder.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// The first step it holds rows of.
    pub first_step: i64,
    /// The last.
    pub last_step: i64,
    /// Its length.
    pub bytes: u64,
    /// XXH3, 128 bits, in hexadecimal.
    pub digest: String,
}

/// A line: the commit's text and the digest of that text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    commit: Box<RawValue>,
    digest: String,
}

impl PartEntry {
    /// The entry of a part with these bytes, which hold so many rows of the steps from `first_step` to `last_step`.
    pub(crate) fn of(
        table: Table,
        file: String,
        rows: usize,
        (first_step, last_step): (i64, i64),
        bytes: &[u8],
    ) -> Self {
        let rows = rows as u64;
        Self { table, file, rows, first_step, last_step, bytes: bytes.len() as u64, digest: digest(bytes) }
    }

    /// The path inside the run directory.
    pub fn relative_path(&self) -> PathBuf {
        Path::new(self.table.name()).join(&self.file)
    }

    /// Whether a file has the length that was written.
    pub(crate) fn check_len(&self, path: &Path, found: u64) -> Result<(), FormatError> {
        if found == self.bytes {
            return Ok(());
        }
        Err(FormatError::PartSize { path: path.to_owned(), found, expected: self.bytes })
    }

    /// Whether bytes read back are the bytes that were written.
    pub(crate) fn check(&self, path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
        self.check_len(path, bytes.len() as u64)?;
        let found = digest(bytes);
        if found != self.digest {
            return Err(FormatError::PartDigest { path: path.to_owned(), found, expected: self.digest.clone() });
        }
        Ok(())
    }

    fn contradiction(&self) -> Option<String> {
        if !is_part_name(&self.file) {
            return Some("the file name is not part-rNNN-NNNNN.parquet".to_owned());
        }
        if self.bytes > MAX_PART_BYTES {
            return Some("the part is larger than 64 MiB".to_owned());
        }
        (self.rows > MAX_PART_ROWS).then(|| format!("{} rows: at most {MAX_PART_ROWS} are in a part", self.rows))
    }
}

/// The digest by which bytes are recognised: integrity, not authenticity.
pub fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

pub(crate) fn part_name(rank: u32, number: u64) -> String {
    format!("part-r{rank:03}-{number:05}.parquet")
}

/// The number in a part's name, if it is one of ours and of this rank.
pub(crate) fn part_number(rank: u32, name: &str) -> Option<u64> {
    let number = name.strip_prefix(&format!("part-r{rank:03}-"))?.strip_suffix(".parquet")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

pub(crate) fn list_name(rank: u32) -> String {
    format!("parts-r{rank:03}.jsonl")
}

/// Whether a name is one of ours: no path is ever built from anything else that a file says.
fn is_part_name(name: &str) -> bool {
    let digits = |text: &str| text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("part-r")
        .and_then(|name| name.strip_suffix(".parquet"))
        .and_then(|name| name.split_once('-'))
        .is_some_and(|(rank, number)| digits(rank) && digits(number))
}

/// The line of a commit in the list at `path`.
pub(crate) fn line(path: &Path, commit: &Commit) -> Result<Vec<u8>, FormatError> {
    let fault = |source: serde_json::Error| FormatError::PartList {
        path: path.to_owned(),
        line: 0,
        reason: source.to_string(),
    };
    let commit = serde_json::value::to_raw_value(commit).map_err(fault)?;
    let digest = digest(commit.get().as_bytes());
    let mut line = serde_json::to_vec(&Line { commit, digest }).map_err(fault)?;
    line.push(b'\n');
    Ok(line)
}

/// A list's bytes without a last line that lacks its end: one being written, or torn by a crash.
pub(crate) fn complete_lines(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)]
}

/// Reads one rank's list; see [`complete_lines`]. A rank that has not begun has none.
pub(crate) fn read_list(storage: &dyn Storage, rank: u32) -> Result<Vec<Commit>, FormatError> {
    let name = list_name(rank);
    let fault = |line, reason| FormatError::PartList { path: storage.root().join(&name), line, reason };
    let admit = |bytes| match bytes {
        0..=MAX_LIST_BYTES => Ok(()),
        _ => Err(fault(1, "the list is larger than 128 MiB".to_owned())),
    };
    let text = match storage.read(name.as_ref(), &admit) {
        Err(absence) if absence.is_absence() => return Ok(Vec::new()),
        text => text?,
    };
    let mut commits = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, line) in complete_lines(&text).split_inclusive(|&byte| byte == b'\n').enumerate() {
        let commit = parse(line).map_err(|reason| fault(index + 1, reason))?;
        if let Some(twice) = commit.parts.iter().find(|part| !seen.insert(part.relative_path())) {
            return Err(fault(index + 1, format!("{} is listed twice", twice.relative_path().display())));
        }
        commits.push(commit);
    }
    Ok(commits)
}

fn parse(line: &[u8]) -> Result<Commit, String> {
    let line: Line = serde_json::from_slice(line).map_err(|fault| fault.to_string())?;
    let found = digest(line.commit.get().as_bytes());
    if found != line.digest {
        return Err(format!("damaged: its digest is {found}, expected {}", line.digest));
    }
    let commit: Commit = serde_json::from_str(line.commit.get()).map_err(|fault| fault.to_string())?;
    match commit.parts.iter().find_map(PartEntry::contradiction) {
        Some(contradiction) => Err(contradiction),
        None => Ok(commit),
    }
}

//! The list of finished part files, `parts-r000.jsonl`: what is not listed there is not read.

use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err::OpenOptions;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::error::FormatError;
use crate::schema::Table;

/// Parts are at most 8 MiB when written here; larger ones than this are not ours.
pub(crate) const MAX_PART_BYTES: u64 = 64 << 20;
/// A million rows are in one when written here.
const MAX_PART_ROWS: u64 = 4 << 20;
/// A list of this size names half a million parts.
const MAX_LIST_BYTES: u64 = 128 << 20;

/// One line of the list: a part file as it was when it was finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// The table it belongs to; with `file` this gives the path.
    pub table: Table,
    /// The file's name inside the table's folder.
    pub file: String,
    /// How often the run had been resumed when it was written.
    pub generation: u32,
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

impl PartEntry {
    /// The path inside the run directory.
    pub fn relative_path(&self) -> PathBuf {
        Path::new(self.table.name()).join(&self.file)
    }

    /// Whether bytes read back are the bytes that were written.
    pub(crate) fn check(&self, path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
        let found = bytes.len() as u64;
        if found != self.bytes {
            return Err(FormatError::PartSize { path: path.to_owned(), found, expected: self.bytes });
        }
        let found = digest(bytes);
        if found != self.digest {
            return Err(FormatError::PartDigest { path: path.to_owned(), found, expected: self.digest.clone() });
        }
        Ok(())
    }
}

/// The digest by which a part is recognised: integrity, not authenticity.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

pub(crate) fn part_name(rank: u32, number: u64) -> String {
    format!("part-r{rank:03}-{number:05}.parquet")
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

/// Adds a finished part to its rank's list.
pub(crate) fn append(dir: &Path, rank: u32, entry: &PartEntry) -> Result<(), FormatError> {
    let path = dir.join(list_name(rank));
    let mut line = serde_json::to_vec(entry).map_err(|source| FormatError::PartList {
        path: path.clone(),
        line: 0,
        reason: source.to_string(),
    })?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    file.write_all(&line)?;
    file.sync_all()?;
    Ok(())
}

/// Reads one rank's list. A last line without its end is one being written, or torn by a crash: it lists nothing.
pub(crate) fn read_list(path: &Path) -> Result<Vec<PartEntry>, FormatError> {
    let fault = |line, reason: String| FormatError::PartList { path: path.to_owned(), line, reason };
    if fs_err::metadata(path)?.len() > MAX_LIST_BYTES {
        return Err(fault(1, "the list is larger than 128 MiB".to_owned()));
    }
    let text = fs_err::read(path)?;
    let complete = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut entries = Vec::new();
    for (index, line) in text[..complete].split_inclusive(|&byte| byte == b'\n').enumerate() {
        let entry: PartEntry = serde_json::from_slice(line).map_err(|source| fault(index + 1, source.to_string()))?;
        if !is_part_name(&entry.file) {
            return Err(fault(index + 1, "the file name is not part-rNNN-NNNNN.parquet".to_owned()));
        }
        if entry.bytes > MAX_PART_BYTES {
            return Err(fault(index + 1, "the part is larger than 64 MiB".to_owned()));
        }
        if entry.rows > MAX_PART_ROWS {
            return Err(fault(index + 1, format!("{} rows: at most {MAX_PART_ROWS} are in a part", entry.rows)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

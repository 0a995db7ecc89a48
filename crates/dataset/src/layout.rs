//! Where everything lies in the data set, and how it gets there.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_format::{FormatError, Local, Storage, digest, folder_below, open_lock, publish};
use epsiloscope_report::{decode_parquet, encode_parquet};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::error::DataSetError;

/// The only file of a partition.
pub(crate) const PART: &str = "part-0.parquet";
/// Where it is known what the files of each run are.
pub(crate) const STATE_DIR: &str = ".state";
/// More bytes than this in a file of results are not ours.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;
/// A state names eight files at most.
pub(crate) const MAX_STATE_BYTES: u64 = 1 << 20;
/// Longer names than this, encoded, no file system takes.
const MAX_NAME_BYTES: usize = 200;

/// The root of a data set, held by its only writer.
pub(crate) struct Layout {
    root: PathBuf,
    lock: fs_err::File,
}

/// A file as it was when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: String,
}

impl Layout {
    /// Makes the directory, if there is none, and keeps others from writing.
    pub(crate) fn open(root: &Path) -> Result<Self, DataSetError> {
        let path = folder_below(root, &[STATE_DIR])?.join("lock");
        let lock = open_lock(&path)?;
        match lock.file().try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(DataSetError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(source.into()),
        }
    }

    /// Writes a table of one run atomically; the partition's name says which run it is.
    pub(crate) fn write(&self, table: ResultTable, run: &str, frame: &DataFrame) -> Result<Written, DataSetError> {
        check(table, frame);
        let dir = folder_below(&self.root, &[table.name(), &partition(run)])?;
        write_into(&dir, table, &frame.drop("run").unwrap_or_else(|_absent| frame.clone()))
    }

    /// Writes a table that is about several runs.
    pub(crate) fn write_whole(&self, table: ResultTable, frame: &DataFrame) -> Result<Written, DataSetError> {
        check(table, frame);
        write_into(&folder_below(&self.root, &[table.name()])?, table, frame)
    }

    /// Whether a table of a run is there as it was written, by its length.
    pub(crate) fn holds(&self, run: &str, written: &Written) -> bool {
        let length = |table| std::fs::metadata(self.partition(table, run).join(PART)).map(|found| found.len()).ok();
        ResultTable::named(&written.table).and_then(length) == Some(written.bytes)
    }

    /// Reads a table of a run back, if it is what was written.
    pub(crate) fn read(&self, run: &str, written: &Written) -> Result<DataFrame, DataSetError> {
        let file = Path::new(&written.table).join(partition(run)).join(PART);
        let path = self.root.join(&file);
        let bytes = Local::new(&self.root).read(&file, &admit(&path, MAX_FILE_BYTES))?;
        decoded(&path, bytes, Some(written))
    }

    /// Removes a table of a run, if it is there; through a link nothing is removed.
    pub(crate) fn remove(&self, table: ResultTable, run: &str) -> Result<(), DataSetError> {
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let dir = self.partition(table, run);
        if is_folder(&self.root.join(table.name())) && is_folder(&dir) {
            fs_err::remove_dir_all(dir)?;
        }
        Ok(())
    }

    /// The state of a run as it was written; none if it is no file that can be.
    pub(crate) fn state(&self, name: &str) -> Option<Vec<u8>> {
        let file = Path::new(STATE_DIR).join(name);
        Local::new(&self.root).read(&file, &admit(&file, MAX_STATE_BYTES)).ok()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.root.join(STATE_DIR)
    }

    fn partition(&self, table: ResultTable, run: &str) -> PathBuf {
        self.root.join(table.name()).join(partition(run))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // Where unlocking fails, closing the file is what is left.
        let _ = self.lock.file().unlock();
    }
}

/// The schema is a promise to readers: whatever breaks it is a bug here, not a fault of the run.
fn check(table: ResultTable, frame: &DataFrame) {
    let contradiction = table.contradiction(frame);
    debug_assert!(contradiction.is_none(), "{contradiction:?}");
}

/// The rows of a file, if it is what was written, as far as that is known.
pub(crate) fn decoded(path: &Path, bytes: Vec<u8>, written: Option<&Written>) -> Result<DataFrame, DataSetError> {
    let damaged = |reason: String| DataSetError::Damaged { path: path.to_owned(), reason };
    if let Some(written) = written {
        let found = digest(&bytes);
        if found != written.digest {
            return Err(damaged(format!("its digest is {found}, expected {}", written.digest)));
        }
    }
    decode_parquet(path, bytes).map_err(|fault| damaged(fault.to_string()))
}

/// Lets files of some length pass.
pub(crate) fn admit(path: &Path, limit: u64) -> impl Fn(u64) -> Result<(), FormatError> {
    let path = path.to_owned();
    move |bytes| {
        if bytes <= limit {
            return Ok(());
        }
        Err(FormatError::Content {
            path: path.clone(),
            reason: format!("{bytes} bytes: at most {limit} are in such a file"),
        })
    }
}

fn write_into(dir: &Path, table: ResultTable, frame: &DataFrame) -> Result<Written, DataSetError> {
    let path = dir.join(PART);
    let encoded = encode_parquet(frame, &[("epsiloscope.table", table.name().to_owned())]);
    let bytes = encoded.map_err(|source| DataSetError::Encode { path: path.clone(), source })?;
    publish(dir, PART, &bytes)
        .map_err(|fault| std::io::Error::new(fault.kind(), format!("{}: {fault}", path.display())))?;
    let (name, rows) = (table.name().to_owned(), frame.height() as u64);
    Ok(Written { table: name, rows, bytes: bytes.len() as u64, digest: digest(&bytes) })
}

/// A run's folder in any table: `run=NAME`, with everything but letters, digits, `.`, `_` and `-` percent-encoded, as hive
/// readers decode it.
///
/// # Examples
/// ```
/// assert_eq!(epsiloscope_dataset::partition("r-1"), "run=r-1");
/// assert_eq!(epsiloscope_dataset::partition("../a b"), "run=..%2Fa%20b");
/// ```
pub fn partition(run: &str) -> String {
    format!("run={}", file_name(run))
}

/// A run's name as part of a file's: percent-encoded, and where that is too long cut off and told apart by a digest.
pub(crate) fn file_name(run: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let encode = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let pieces: Vec<String> = run.bytes().map(encode).collect();
    let whole = pieces.concat();
    if whole.len() <= MAX_NAME_BYTES {
        return whole;
    }
    let digest = digest(run.as_bytes());
    let mut name = String::new();
    for piece in pieces {
        if name.len() + piece.len() + 1 + digest.len() > MAX_NAME_BYTES {
            break;
        }
        name.push_str(&piece);
    }
    format!("{name}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_can_be_called_anything_without_leaving_its_partition() {
        assert_eq!(file_name("r-1"), "r-1");
        assert_eq!(file_name("../a b"), "..%2Fa%20b");
        let long = "ä".repeat(10_000);
        let name = file_name(&long);
        assert!(name.len() <= MAX_NAME_BYTES && name != file_name(&format!("{long}b")), "{name}");
    }
}

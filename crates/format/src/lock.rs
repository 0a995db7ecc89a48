//! One writer per rank of a run.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::FormatError;
use crate::publish::open_lock;

/// How the names of locks begin; the rank follows.
const LOCK: &str = "lock-r";
/// Someone may look whether a lock is held, which holds it for a moment.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Held by the rank's only writer; released when it is dropped and when its process ends, however it ends.
pub(crate) struct Lock(fs_err::File);

impl Lock {
    pub(crate) fn take(dir: &Path, rank: u32) -> Result<Self, FormatError> {
        let path = path(dir, rank);
        let file = open_lock(&path)?;
        for _try in 1..TRIES {
            match file.file().try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(source)) => return Err(source.into()),
            }
        }
        match file.file().try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(FormatError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(source.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone leaves the lock to a process that is being started and has not closed its copy of the file yet.
        // Where unlocking fails, closing is what is left.
        let _ = self.0.file().unlock();
    }
}

fn path(dir: &Path, rank: u32) -> PathBuf {
    dir.join(format!("{LOCK}{rank:03}"))
}

/// Whether some process holds the lock of a rank of the run in a directory: it is being recorded, or compacted.
///
/// # Errors
/// The operating system's, if the directory or a lock that is there cannot be looked at.
pub fn has_writer(dir: &Path) -> Result<bool, FormatError> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        // A FIFO would be waited for, a link may lead anywhere.
        let is_lock = entry.file_name().to_string_lossy().starts_with(LOCK) && entry.file_type()?.is_file();
        if is_lock && is_held(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_held(path: &Path) -> Result<bool, FormatError> {
    let file = fs_err::File::open(path)?;
    // Shared, so that those who look do not see each other.
    match file.file().try_lock_shared() {
        Ok(()) => {
            // Where unlocking fails, closing is what is left.
            let _ = file.file().unlock();
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(source.into()),
    }
}

//! One writer per rank of a run.

use std::fs::TryLockError;
use std::path::Path;

use crate::error::FormatError;

/// Held by the rank's only writer; released when it is dropped and when its process ends, however it ends.
pub(crate) struct Lock(fs_err::File);

impl Lock {
    pub(crate) fn take(dir: &Path, rank: u32) -> Result<Self, FormatError> {
        let path = dir.join(format!("lock-r{rank:03}"));
        let file = fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
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

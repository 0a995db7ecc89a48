//! How bytes become a file that no reader ever sees half of.

use std::io;
use std::path::Path;

use crate::fs::{Disk, FileSystem};

/// Writes `bytes` to `dir/name`: temporary name, fsync, rename, fsync of the directory. An existing file is replaced.
///
/// # Errors
/// The operating system's. Then `dir/name` is what it was before or what it should be: whole in either case.
pub fn publish(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    publish_on(&Disk, dir, name, bytes)
}

/// [`publish`] on any file system.
///
/// After an I/O error the temporary file is discarded and the bytes are written once more from the start: a file whose
/// fsync failed may have lost pages that a second fsync would not report.
pub(crate) fn publish_on(fs: &dyn FileSystem, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    attempt(fs, dir, name, bytes).or_else(|_first| attempt(fs, dir, name, bytes))
}

fn attempt(fs: &dyn FileSystem, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.tmp-{}", std::process::id()));
    let written = write_new(fs, &temporary, bytes).and_then(|()| fs.rename(&temporary, &dir.join(name)));
    if written.is_err() {
        // Nothing more can be done about a temporary file that will not go; no reader looks at it.
        let _ = fs.remove_file(&temporary);
    }
    written.and_then(|()| fs.sync_dir(dir))
}

fn write_new(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

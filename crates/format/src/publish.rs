//! How bytes become a file that no reader ever sees half of.

use std::io;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;

use crate::fs::{Disk, FileSystem};

/// Stands between a file's name and the process that writes it.
const TEMPORARY: &str = ".tmp-";

/// Writes `bytes` to `dir/name`: temporary name, fsync, rename, fsync of the directory. An existing file is replaced.
///
/// # Errors
/// The operating system's. Then `dir/name` is what it was before or what it should be: whole in either case.
pub fn publish(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    publish_on(&Disk, dir, name, bytes)
}

/// A folder below `root`, made where it is not there, name by name. Whoever planted a link among them could have files written
/// elsewhere, so that none is followed; `root` itself may be one.
///
/// # Errors
/// The operating system's, naming the path; [`io::ErrorKind::NotADirectory`] if something else is in the way.
pub fn folder_below(root: &Path, names: &[&str]) -> io::Result<PathBuf> {
    fs_err::create_dir_all(root)?;
    let mut folder = root.to_owned();
    for name in names {
        folder.push(name);
        match fs_err::create_dir(&folder) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => refuse_link(&folder)?,
            made => made?,
        }
    }
    Ok(folder)
}

fn refuse_link(folder: &Path) -> io::Result<()> {
    let found = fs_err::symlink_metadata(folder)?;
    if found.is_dir() {
        return Ok(());
    }
    let what = if found.is_symlink() { "a symbolic link" } else { "a file" };
    let fault = format!("{}: {what}; expected a folder to write results into", folder.display());
    Err(io::Error::new(io::ErrorKind::NotADirectory, fault))
}

/// Opens a file that processes lock, and makes it if it is not there. A link is not followed, a FIFO not waited for.
///
/// # Errors
/// The operating system's, naming the path.
pub fn open_lock(path: &Path) -> io::Result<fs_err::File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(false).custom_flags(flags.cast_signed());
    options.open(path)
}

/// [`publish`] on any file system.
///
/// After an I/O error the temporary file is discarded and the bytes are written once more from the start: a file whose
/// fsync failed may have lost pages that a second fsync would not report.
pub(crate) fn publish_on(fs: &dyn FileSystem, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    attempt(fs, dir, name, bytes).or_else(|_first| attempt(fs, dir, name, bytes))
}

fn attempt(fs: &dyn FileSystem, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}{TEMPORARY}{}", std::process::id()));
    let written = write_new(fs, &temporary, bytes).and_then(|()| fs.rename(&temporary, &dir.join(name)));
    if written.is_err() {
        // Nothing more can be done about a temporary file that will not go; no reader looks at it.
        let _ = fs.remove_file(&temporary);
    }
    written.and_then(|()| fs.sync_dir(dir))
}

/// Removes what killed processes left half written of files with certain names.
pub(crate) fn remove_temporaries(fs: &dyn FileSystem, dir: &Path, names: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        let temporary = path.file_name().unwrap_or_default().to_string_lossy();
        let name = temporary.strip_prefix('.').and_then(|name| name.rsplit_once(TEMPORARY));
        if name.is_some_and(|(name, _process)| names(name)) {
            fs.remove_file(&path)?;
        }
    }
    Ok(())
}

fn write_new(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

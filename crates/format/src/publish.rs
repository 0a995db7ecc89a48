//! How bytes become a file that no reader ever sees half of.

use std::io::{self, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};

/// Writes `bytes` to `dir/name`: temporary name, fsync, rename, fsync of the directory.
///
/// After an I/O error the temporary file is discarded and the bytes are written once more from the start: a file whose
/// fsync failed may have lost pages that a second fsync would not report. An existing file is replaced.
///
/// # Errors
/// The error of the second attempt. Then `dir/name` is what it was before or what it should be: whole in either case.
pub fn publish(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    attempt(dir, name, bytes).or_else(|_first| attempt(dir, name, bytes))
}

fn attempt(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.tmp-{}", std::process::id()));
    let written = write_new(&temporary, bytes).and_then(|()| fs_err::rename(&temporary, dir.join(name)));
    if written.is_err() {
        // Nothing more can be done about a temporary file that will not go; no reader looks at it.
        let _ = fs_err::remove_file(&temporary);
    }
    written.and_then(|()| sync_dir(dir))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Without this a rename may be undone by a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

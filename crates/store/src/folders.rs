//! Trees of folders, some of which are runs: those of this machine here, object stores in [`objects`](crate::objects).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::{Local, Storage};

use crate::discover::MAX_ENTRIES;

/// What makes a folder a run.
pub(crate) const MANIFEST: &str = "run.json";

/// Folders below a root, named relative to it; the root's own name is empty.
pub(crate) trait Folders {
    /// What each folder holds.
    fn look(&self, folders: &[PathBuf]) -> Vec<io::Result<Folder>>;

    /// A folder that is a run.
    fn run(&self, folder: &Path) -> Arc<dyn Storage>;

    /// What a folder is called by whatever way one comes to it.
    fn identity(&self, folder: &Path) -> PathBuf;
}

/// A folder's content.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    pub(crate) is_run: bool,
    /// Names in it that were looked at.
    pub(crate) n_entries: usize,
    /// The folders in it, in order, hidden ones aside.
    pub(crate) folders: Vec<OsString>,
}

impl Folder {
    /// Of files and folders; a run's folders are of no interest.
    pub(crate) fn of(entries: impl Iterator<Item = io::Result<(OsString, bool)>>) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in entries.take(MAX_ENTRIES + 1) {
            let (name, is_folder) = entry?;
            found.n_entries += 1;
            found.is_run |= name == MANIFEST;
            if is_folder && !name.as_encoded_bytes().starts_with(b".") {
                found.folders.push(name);
            }
        }
        found.folders.sort();
        Ok(found)
    }
}

/// Directories of this machine. Links are followed: whoever asks has put them there.
pub(crate) struct Directories(pub(crate) PathBuf);

impl Folders for Directories {
    fn look(&self, folders: &[PathBuf]) -> Vec<io::Result<Folder>> {
        folders.iter().map(|folder| Folder::of(entries(&self.path(folder))?)).collect()
    }

    fn run(&self, folder: &Path) -> Arc<dyn Storage> {
        Arc::new(Local::new(&self.path(folder)))
    }

    fn identity(&self, folder: &Path) -> PathBuf {
        let path = self.path(folder);
        path.canonicalize().unwrap_or(path)
    }
}

impl Directories {
    fn path(&self, folder: &Path) -> PathBuf {
        let path: PathBuf = self.0.iter().chain(folder).collect();
        if path.as_os_str().is_empty() { ".".into() } else { path }
    }
}

fn entries(dir: &Path) -> io::Result<impl Iterator<Item = io::Result<(OsString, bool)>>> {
    let named = |entry: io::Result<fs_err::DirEntry>| {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A link that leads nowhere is no folder.
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        Ok((entry.file_name(), is_folder))
    };
    Ok(fs_err::read_dir(dir)?.map(named))
}

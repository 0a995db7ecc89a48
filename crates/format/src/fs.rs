//! What writing a run asks of the file system: few enough calls that a test can fail each of them.

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};

/// The calls by which a run directory changes. [`Disk`] makes them; tests put something in between.
pub trait FileSystem: Debug + Send + Sync {
    /// Makes a directory and those above it; one that is there is as good.
    ///
    /// # Errors
    /// The operating system's, naming the path; so for every call.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a new file; one that is there is an error.
    ///
    /// # Errors
    /// As above.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn WritableFile>>;

    /// Opens a file, new or not, to write at its end.
    ///
    /// # Errors
    /// As above.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WritableFile>>;

    /// Renames a file; one of the new name is replaced.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes names in a directory durable: without this a power cut may undo a rename.
    ///
    /// # Errors
    /// As above.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait WritableFile: Write + Send {
    /// Makes content durable. After an error the file is to be given up: its pages may be lost and pass for written.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// The file system there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs_err::create_dir_all(dir)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs_err::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs_err::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl WritableFile for File {
    fn sync_all(&mut self) -> io::Result<()> {
        Self::sync_all(self)
    }
}

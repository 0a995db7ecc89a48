//! What reading a run asks of the place where it is kept: few enough calls that any store can answer them.

use std::fmt::Debug;
use std::fs::FileType;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::error::FormatError;

/// A place that keeps one run. [`Local`] is a directory; files are named relative to it.
pub trait Storage: Debug + Send + Sync {
    /// The place as its user calls it, a path or a URL: what messages name, and joined to a file's name the file.
    fn root(&self) -> &Path;

    /// The whole of a file, once `admit` has let its length pass. Of one that grows meanwhile, that length.
    ///
    /// # Errors
    /// Those of `admit`, before anything is read; [`FormatError::NotAFile`]; [`FormatError::Io`], naming the file, of the
    /// kind [`io::ErrorKind::NotFound`] if there is none.
    fn read(&self, file: &Path, admit: &dyn Fn(u64) -> Result<(), FormatError>) -> Result<Vec<u8>, FormatError>;

    /// The names in a folder, of files and of folders, in any order; the folder named `""` is the place itself.
    ///
    /// # Errors
    /// [`FormatError::Io`], of the kind [`io::ErrorKind::NotFound`] if there is no such folder.
    fn list(&self, folder: &Path) -> Result<Vec<String>, FormatError>;
}

/// A run directory of this machine, read as if someone else had filled it: nothing in it but regular files is opened,
/// and no symbolic link is followed. The directory itself may be one.
#[derive(Clone, Debug)]
pub struct Local {
    dir: PathBuf,
}

impl Local {
    /// The run in a directory. Nothing is opened yet, or kept open later.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Opens what a relative path leads to, a name at a time and never through a link.
    fn open(&self, relative: &Path, last: OFlags) -> Result<fs_err::File, FormatError> {
        let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut path = self.dir.clone();
        let mut opened =
            rustix::fs::openat(CWD, &path, folder, Mode::empty()).map_err(|errno| io_fault(&path, errno))?;
        let mut names = relative.iter().peekable();
        while let Some(name) = names.next() {
            path.push(name);
            let flags = if names.peek().is_some() { folder } else { last | OFlags::CLOEXEC };
            let next = rustix::fs::openat(&opened, name, flags | OFlags::NOFOLLOW, Mode::empty());
            opened = next.map_err(|errno| refusal(&path, errno))?;
        }
        Ok(fs_err::File::from_parts(opened.into(), path))
    }
}

impl Storage for Local {
    fn root(&self) -> &Path {
        &self.dir
    }

    fn read(&self, file: &Path, admit: &dyn Fn(u64) -> Result<(), FormatError>) -> Result<Vec<u8>, FormatError> {
        // Without NONBLOCK a FIFO would be waited for.
        let opened = self.open(file, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let metadata = opened.metadata()?;
        if !metadata.is_file() {
            return Err(FormatError::NotAFile { path: self.dir.join(file), found: noun(metadata.file_type()) });
        }
        admit(metadata.len())?;
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        opened.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, FormatError> {
        let opened = self.open(folder, OFlags::DIRECTORY)?;
        let fault = |errno| io_fault(opened.path(), errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&opened).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// A link or a socket that cannot be opened as such, or else what the operating system said.
fn refusal(path: &Path, errno: Errno) -> FormatError {
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() && !there.is_dir() => {
            FormatError::NotAFile { path: path.to_owned(), found: noun(there.file_type()) }
        }
        _ => io_fault(path, errno),
    }
}

fn io_fault(path: &Path, errno: Errno) -> FormatError {
    let source = io::Error::from(errno);
    io::Error::new(source.kind(), format!("{}: {source}", path.display())).into()
}

fn noun(found: FileType) -> &'static str {
    match found {
        _ if found.is_symlink() => "a symbolic link",
        _ if found.is_dir() => "a directory",
        _ if found.is_fifo() => "a FIFO",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    }
}

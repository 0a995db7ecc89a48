//! Named arrays in a file, npz or safetensors.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err::File;
use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use crate::error::ImportError;
use crate::npy::{Header, Kind};

/// A kind of files of named arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// Of NumPy: `savez`, `savez_compressed`.
    Npz,
    /// Of safetensors.
    Safetensors,
}

impl ValueFormat {
    /// Its name and its files' extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
        }
    }

    pub(crate) fn open(self, path: &Path) -> Result<ValueFile, ImportError> {
        match self {
            Self::Npz => {
                let archive = ZipArchive::new(File::open(path)?)
                    .map_err(|fault| refused(path, format!("expected an npz file ({fault})")))?;
                Ok(ValueFile { path: path.to_owned(), content: Content::Npz(archive) })
            }
            Self::Safetensors => {
                let bytes = fs_err::read(path)?;
                Ok(ValueFile { path: path.to_owned(), content: Content::Safetensors(bytes) })
            }
        }
    }
}

/// An open file.
pub(crate) struct ValueFile {
    path: PathBuf,
    content: Content,
}

enum Content {
    Npz(ZipArchive<File>),
    Safetensors(Vec<u8>),
}

impl ValueFile {
    /// Names and shapes of the arrays.
    pub(crate) fn arrays(&mut self) -> Result<Vec<(String, Vec<u64>)>, ImportError> {
        let Self { path, content } = self;
        match content {
            Content::Npz(archive) => {
                let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
                let array = |entry: String| {
                    let shape = with_entry(path, archive, &entry, |header, _content| Ok(header.shape))?;
                    Ok((array_name(&entry).to_owned(), shape))
                };
                names.into_iter().map(array).collect()
            }
            Content::Safetensors(bytes) => {
                let arrays = parsed(path, bytes)?;
                let shape = |sizes: &[usize]| sizes.iter().map(|&size| size as u64).collect();
                Ok(arrays.tensors().into_iter().map(|(name, view)| (name, shape(view.shape()))).collect())
            }
        }
    }

    /// The elements of an array, the last index moving fastest.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<f32>, ImportError> {
        let Self { path, content } = self;
        match content {
            Content::Npz(archive) => {
                let entry = archive.file_names().find(|entry| array_name(entry) == name).map(str::to_owned);
                let entry = entry.ok_or_else(|| refused(path, format!("no array {name:?} any more")))?;
                with_entry(path, archive, &entry, |header, content| {
                    let bytes = content_of(&header, content)?;
                    Ok(header.values(&bytes))
                })
            }
            Content::Safetensors(bytes) => {
                let arrays = parsed(path, bytes)?;
                let view = arrays.tensor(name).map_err(|fault| refused(path, format!("array {name:?}: {fault}")))?;
                let kind = match view.dtype() {
                    Dtype::F16 => Kind::Half,
                    Dtype::BF16 => Kind::Brain,
                    Dtype::F32 => Kind::Single,
                    Dtype::F64 => Kind::Double,
                    other => {
                        let reason = format!("array {name:?} is of type {other:?}: expected F16, BF16, F32 or F64");
                        return Err(refused(path, reason));
                    }
                };
                Ok(kind.values(view.data(), false))
            }
        }
    }
}

/// `savez` adds an extension.
fn array_name(entry: &str) -> &str {
    entry.strip_suffix(".npy").unwrap_or(entry)
}

/// Does something with an array's header and what follows it.
fn with_entry<T>(
    path: &Path,
    archive: &mut ZipArchive<File>,
    entry: &str,
    work: impl FnOnce(Header, &mut dyn Read) -> Result<T, String>,
) -> Result<T, ImportError> {
    let fault = |reason: String| refused(path, format!("array {:?}: {reason}", array_name(entry)));
    let mut content = archive.by_name(entry).map_err(|cause| fault(cause.to_string()))?;
    let header = Header::read(&mut content).map_err(fault)?;
    work(header, &mut content).map_err(fault)
}

/// As many bytes as the header says: what a compressed entry unfolds to beyond is not read. They take memory as they come, whatever
/// the header says.
fn content_of(header: &Header, content: &mut dyn Read) -> Result<Vec<u8>, String> {
    let expected = header.n_bytes().ok_or_else(|| format!("of shape {:?}", header.shape))?;
    let mut bytes = Vec::new();
    let read = content.take(expected).read_to_end(&mut bytes).map_err(|cause| cause.to_string())?;
    if read as u64 == expected { Ok(bytes) } else { Err(format!("{read} bytes: expected {expected}")) }
}

fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ImportError> {
    SafeTensors::deserialize(bytes).map_err(|fault| refused(path, format!("expected a safetensors file ({fault})")))
}

fn refused(path: &Path, reason: String) -> ImportError {
    ImportError::Values { path: path.to_owned(), reason }
}

//! Runs in object stores.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::{FormatError, Storage};
use futures_util::{StreamExt, stream};
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::folders::{Folder, Folders};

/// Folders that are listed at once.
const LISTINGS: usize = 64;

/// What lies in an object store below a prefix: a run, or a folder of runs.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Waits for the store's answers, so that nobody else has to know that they are awaited.
    pub(crate) runtime: Arc<Runtime>,
    /// The URL, as typed.
    pub(crate) root: PathBuf,
    pub(crate) prefix: ObjectPath,
    /// A plain web server only gives what one knows by name.
    pub(crate) is_listable: bool,
}

impl Objects {
    fn key(&self, relative: &Path) -> ObjectPath {
        let names = relative.iter().map(|name| name.to_string_lossy().into_owned());
        names.fold(self.prefix.clone(), |key, name| key.join(PathPart::from(name)))
    }

    /// The URL of a file or folder; joining nothing would add a slash.
    fn url(&self, relative: &Path) -> PathBuf {
        if relative.as_os_str().is_empty() { self.root.clone() } else { self.root.join(relative) }
    }

    /// The names in a folder, and whether they are folders.
    async fn entries(&self, folder: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let url = self.url(folder);
        if !self.is_listable {
            let reason = format!("{}: a web server does not tell what a folder holds", url.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let found = self.store.list_with_delimiter(Some(&self.key(folder))).await;
        let found = found.map_err(|source| io_fault(&url, &source))?;
        let name = |key: &ObjectPath| OsString::from(key.filename().unwrap_or_default());
        let files = found.objects.iter().map(|object| (name(&object.location), false));
        let entries: Vec<_> = files.chain(found.common_prefixes.iter().map(|key| (name(key), true))).collect();
        if entries.is_empty() {
            // Folders are only what names of objects begin with.
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: no such folder", url.display())));
        }
        Ok(entries)
    }
}

impl Storage for Objects {
    fn root(&self) -> &Path {
        &self.root
    }

    fn read(&self, file: &Path, admit: &dyn Fn(u64) -> Result<(), FormatError>) -> Result<Vec<u8>, FormatError> {
        let fault = |source| io_fault(&self.url(file), &source);
        self.runtime.block_on(async {
            let object = self.store.get(&self.key(file)).await.map_err(fault)?;
            admit(object.meta.size)?;
            Ok(object.bytes().await.map_err(fault)?.into())
        })
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, FormatError> {
        let entries = self.runtime.block_on(self.entries(folder))?;
        Ok(entries.into_iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect())
    }
}

impl Folders for Objects {
    fn look(&self, folders: &[PathBuf]) -> Vec<io::Result<Folder>> {
        let look = async |folder: &PathBuf| Folder::of(self.entries(folder).await?.into_iter().map(Ok));
        self.runtime.block_on(stream::iter(folders).map(look).buffered(LISTINGS).collect())
    }

    fn run(&self, folder: &Path) -> Arc<dyn Storage> {
        Arc::new(Self { root: self.url(folder), prefix: self.key(folder), ..self.clone() })
    }

    fn identity(&self, folder: &Path) -> PathBuf {
        self.url(folder)
    }
}

/// What a store said, on one line that names the URL.
fn io_fault(url: &Path, source: &object_store::Error) -> io::Error {
    use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
    let words = source.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    // Where listing fails the store's answer is in the text alone.
    let is_answer = |status: &str| words.contains(&format!("status code: {status}"));
    let url = url.display();
    match source {
        NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, format!("{url}: no such object")),
        _ if is_answer("404") => io::Error::new(io::ErrorKind::NotFound, format!("{url}: no such bucket")),
        PermissionDenied { .. } | Unauthenticated { .. } => denied(&url),
        _ if is_answer("401") || is_answer("403") => denied(&url),
        _ => io::Error::other(format!("{url}: {words}")),
    }
}

fn denied(url: &std::path::Display<'_>) -> io::Error {
    let reason = format!("{url}: access denied: expected credentials in the environment that may read and list it");
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

//! The same small tree of folders, as directories and as objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_store::{Found, Storage, StoreError, Stores};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

/// The bucket that stands for the directory.
pub(crate) const ORIGIN: &str = "s3://bucket";

/// Files, by path.
pub(crate) struct Tree {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Arc<InMemory>,
}

impl Tree {
    /// One small file for each path.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap(), store: Arc::new(InMemory::new()) };
        files.into_iter().for_each(|file| tree.put(file, b"{}"));
        tree
    }

    pub(crate) fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        block_on(self.store.put(&ObjectPath::from(file), bytes.to_vec().into())).unwrap();
    }

    pub(crate) fn stores(&self) -> Stores {
        Stores::default().with(ORIGIN, Arc::clone(&self.store) as Arc<dyn ObjectStore>)
    }

    /// What relative arguments lead to, once as directories and once as objects.
    pub(crate) fn discover(&self, arguments: &[&str]) -> [Answer; 2] {
        let of = |root: &Path, stores: Stores| {
            let arguments: Vec<PathBuf> = arguments.iter().map(|argument| root.join(argument)).collect();
            answer(root, &stores.discover(&arguments))
        };
        [of(self.dir.path(), Stores::default()), of(ORIGIN.as_ref(), self.stores())]
    }
}

/// Runs, relative to the root of the tree, and messages without it.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) runs: Vec<String>,
    pub(crate) faults: Vec<String>,
}

fn answer(root: &Path, found: &Found) -> Answer {
    let relative = |run: &Arc<dyn Storage>| run.root().strip_prefix(root).unwrap().display().to_string();
    let message = |fault: &StoreError| fault.to_string().replace(&format!("{}/", root.display()), "");
    Answer { runs: found.runs.iter().map(relative).collect(), faults: found.faults.iter().map(message).collect() }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

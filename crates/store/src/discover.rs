//! From what was typed to runs.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::Storage;
use url::Url;

use crate::error::StoreError;
use crate::folders::{Directories, Folder, Folders};
use crate::pattern::{self, Pattern};
use crate::stores::Stores;

/// How many levels below what was typed a run may lie.
pub const MAX_DEPTH: usize = 8;
/// How many names are looked at for one argument, those inside runs not counted.
pub const MAX_ENTRIES: usize = 100_000;
/// Folders looked at before what they hold is counted.
const FOLDERS_AT_ONCE: usize = 64;

/// Runs, and what was typed or found and leads to none.
#[derive(Debug, Default)]
pub struct Found {
    /// No run twice, in order of path or URL.
    pub runs: Vec<Arc<dyn Storage>>,
    /// In order of argument.
    pub faults: Vec<StoreError>,
}

/// The runs that arguments lead to: each of them a run, a folder with runs in it, a pattern of folders that are one or the
/// other, or a URL of either kind.
///
/// A run lies at most [`MAX_DEPTH`] levels below the folder, or below the part of a pattern that names no other; folders
/// inside runs and hidden ones are not looked at, and of a run that links lead to by several ways the first is taken.
/// What is no run and has none in it, and what cannot be listed, counts as a run itself: opening it says what is wrong.
///
/// # Examples
/// ```
/// let found = epsiloscope_store::discover(&["../../data/runs/*".into()]);
/// assert!(found.faults.is_empty() && found.runs.iter().any(|run| run.root().ends_with("cnn-calibration")));
/// ```
pub fn discover(arguments: &[PathBuf]) -> Found {
    Stores::default().discover(arguments)
}

impl Stores {
    /// [`discover`] with stores that may be open already.
    pub fn discover(mut self, arguments: &[PathBuf]) -> Found {
        let mut found = Found::default();
        let mut known = BTreeSet::new();
        for argument in arguments {
            match self.place(argument) {
                Ok(place) => place.add_to(&mut found, &mut known),
                Err(fault) => found.faults.push(fault),
            }
        }
        found.runs.sort_by(|a, b| a.root().cmp(b.root()));
        found
    }

    fn place<'a>(&mut self, argument: &'a Path) -> Result<Place<'a>, StoreError> {
        let url = argument.to_str().filter(|text| is_url(text));
        if url.is_none() && argument.symlink_metadata().is_ok() {
            return Ok(Place { argument, folders: Box::new(Directories(argument.to_owned())), pattern: None });
        }
        let (root, pattern) = url.map_or_else(|| pattern::split(argument), split_url);
        let folders = if url.is_some() { self.folders(&root)? } else { Box::new(Directories(root)) };
        let pattern = pattern.map(|text| Pattern::new(&text)).transpose();
        let pattern = pattern.map_err(|source| StoreError::Pattern { pattern: argument.to_owned(), source })?;
        Ok(Place { argument, folders, pattern })
    }

    fn folders(&mut self, root: &Path) -> Result<Box<dyn Folders>, StoreError> {
        let refused = |reason: &dyn ToString| StoreError::Url { url: root.to_owned(), reason: reason.to_string() };
        let url = Url::parse(&root.to_string_lossy()).map_err(|fault| refused(&fault))?;
        if url.scheme() != "file" {
            return Ok(Box::new(self.objects(root, &url)?));
        }
        let path = url.to_file_path().map_err(|()| refused(&"a file of another machine"))?;
        Ok(Box::new(Directories(path)))
    }
}

/// Whether a name before `://` tells where to look; paths have none.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The URL up to the first name that is a pattern; names of stores are none.
fn split_url(url: &str) -> (PathBuf, Option<String>) {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    let (literal, pattern) = pattern::split(Path::new(url[path..].trim_end_matches('/')));
    (format!("{}{}", &url[..path], literal.display()).into(), pattern)
}

/// Where an argument leads.
struct Place<'a> {
    argument: &'a Path,
    folders: Box<dyn Folders>,
    pattern: Option<Pattern>,
}

/// What looking through a place brings.
#[derive(Default)]
struct Walk {
    runs: Vec<PathBuf>,
    faults: Vec<StoreError>,
    n_entries: usize,
}

impl Place<'_> {
    fn add_to(&self, found: &mut Found, known: &mut BTreeSet<PathBuf>) {
        let mut walk =
            self.walk().unwrap_or_else(|fault| Walk { faults: vec![fault], n_entries: 1, ..Walk::default() });
        if walk.runs.is_empty() {
            match self.pattern {
                // Opening it says what is wrong, or works although it cannot be listed.
                None if walk.n_entries == 0 || walk.faults.is_empty() => {
                    walk = Walk { runs: vec![PathBuf::new()], ..Walk::default() };
                }
                Some(_) if walk.faults.is_empty() => {
                    walk.faults.push(StoreError::NoMatch { pattern: self.argument.to_owned() });
                }
                _ => (),
            }
        }
        let new = walk.runs.iter().filter(|run| known.insert(self.folders.identity(run)));
        found.runs.extend(new.map(|run| self.folders.run(run)));
        found.faults.append(&mut walk.faults);
    }

    /// Runs, level by level; folders that cannot be listed are a fault each.
    fn walk(&self) -> Result<Walk, StoreError> {
        let mut walk = Walk::default();
        let mut level = vec![PathBuf::new()];
        for _depth in 0..=MAX_DEPTH {
            let mut below = Vec::new();
            for folders in level.chunks(FOLDERS_AT_ONCE) {
                for (folder, content) in folders.iter().zip(self.folders.look(folders)) {
                    match content {
                        Ok(content) => below.extend(self.visit(folder, content, &mut walk)?),
                        // Gone since its name was read, or never there.
                        Err(fault) if fault.kind() == ErrorKind::NotFound => (),
                        Err(fault) => walk.faults.push(fault.into()),
                    }
                }
            }
            level = below;
        }
        Ok(walk)
    }

    /// Notes a run; of anything else, gives the folders to look at next.
    fn visit(&self, folder: &Path, content: Folder, walk: &mut Walk) -> Result<Vec<PathBuf>, StoreError> {
        if content.is_run {
            let is_wanted = self.pattern.as_ref().is_none_or(|pattern| pattern.accepts(folder));
            walk.runs.extend(is_wanted.then(|| folder.to_owned()));
            return Ok(Vec::new());
        }
        walk.n_entries += content.n_entries;
        if walk.n_entries > MAX_ENTRIES {
            return Err(StoreError::TooMany { path: self.argument.to_owned() });
        }
        if self.is_loop(folder) {
            return Ok(Vec::new());
        }
        let below = content.folders.into_iter().map(|name| folder.join(name));
        Ok(below.filter(|folder| self.pattern.as_ref().is_none_or(|pattern| pattern.leads_through(folder))).collect())
    }

    /// Whether links lead from a folder to itself.
    fn is_loop(&self, folder: &Path) -> bool {
        let identity = self.folders.identity(folder);
        folder.ancestors().skip(1).any(|above| self.folders.identity(above) == identity)
    }
}

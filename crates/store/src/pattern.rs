//! Shell-style patterns over folders.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

/// As shells match: `*` stays inside a name, and a leading dot is named.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A pattern of relative paths.
#[derive(Debug)]
pub(crate) struct Pattern {
    whole: glob::Pattern,
    /// Its names up to the first `**`: a folder that differs in one of them leads nowhere.
    names: Vec<glob::Pattern>,
    /// Whether it is `**`, which stands for no name as well.
    is_anything: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, glob::PatternError> {
        let names = text.split('/').take_while(|&name| name != "**").map(glob::Pattern::new);
        let names = names.collect::<Result<_, _>>()?;
        Ok(Self { whole: glob::Pattern::new(text)?, names, is_anything: text.split('/').all(|name| name == "**") })
    }

    /// Whether a folder matches, or one that it is in; a pattern stands for a name or more, unless it is `**`.
    pub(crate) fn accepts(&self, folder: &Path) -> bool {
        let mut named = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty());
        self.is_anything || named.any(|folder| self.whole.matches_path_with(folder, OPTIONS))
    }

    /// Whether a folder may hold, at whatever depth, one that matches.
    pub(crate) fn leads_through(&self, folder: &Path) -> bool {
        let matches =
            |(name, pattern): (&std::ffi::OsStr, &glob::Pattern)| pattern.matches_path_with(Path::new(name), OPTIONS);
        folder.iter().zip(&self.names).all(matches)
    }
}

/// A path up to the first name that is a pattern, and the pattern, if there is one.
pub(crate) fn split(path: &Path) -> (PathBuf, Option<String>) {
    let is_literal = |name: &&std::ffi::OsStr| !name.to_string_lossy().contains(['*', '?', '[']);
    let literal: PathBuf = path.iter().take_while(is_literal).collect();
    let pattern: PathBuf = path.iter().skip_while(is_literal).collect();
    // What is not Unicode is no pattern.
    let pattern = pattern.to_str().filter(|pattern| !pattern.is_empty()).map(str::to_owned);
    if pattern.is_some() { (literal, pattern) } else { (path.to_owned(), None) }
}

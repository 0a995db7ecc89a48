//! What can be wrong with a place that was typed, one variant per cause.

use std::path::PathBuf;

use crate::discover::MAX_ENTRIES;

/// Why runs could not be looked for, naming the place and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A folder could not be listed; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// Not a URL of a store.
    #[error("{}: {reason}: expected a path or a URL such as s3://bucket/runs", url.display())]
    Url {
        /// As typed.
        url: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Not a pattern.
    #[error("{}: {source}: expected a pattern such as 'runs/**/seed-*'", pattern.display())]
    Pattern {
        /// As typed.
        pattern: PathBuf,
        /// What is wrong with it.
        source: glob::PatternError,
    },

    /// No run is where a pattern points to.
    #[error("{}: matches no recorded run: expected a pattern such as 'runs/**/seed-*'", pattern.display())]
    NoMatch {
        /// As typed.
        pattern: PathBuf,
    },

    /// A place that holds more than runs. Name the runs' own folders.
    #[error("{}: more than {MAX_ENTRIES} names to look at: expected a folder of runs", path.display())]
    TooMany {
        /// As typed.
        path: PathBuf,
    },
}

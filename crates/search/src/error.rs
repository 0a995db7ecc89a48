//! What can go wrong.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use thiserror::Error;

/// Why a search cannot be begun, go on or be told of.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A parameter that is not written as one.
    #[error("parameter {text:?}: {expected}")]
    Parameter {
        /// As typed.
        text: String,
        /// What was expected.
        expected: String,
    },
    /// A command with braces that are no placeholder.
    #[error("command: {0}")]
    Template(String),
    /// A metric's pattern.
    #[error("metric {pattern:?}: {reason}")]
    Metric {
        /// As typed.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A strategy's setting out of its range.
    #[error("{name} {found}: expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it was.
        found: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// The strategy cannot search these parameters.
    #[error("{0}")]
    Strategy(String),
    /// Another process searches in the same place.
    #[error("{path}: held by another search; expected to be the only one")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The log is of a search with other settings.
    #[error("{path}: of another search, which differs in {what}: choose another place, or ask for the same")]
    OtherSearch {
        /// The log.
        path: PathBuf,
        /// The first setting that differs.
        what: String,
    },
    /// A line of the log is not what was written.
    #[error("{path}, line {line}: {reason}")]
    Log {
        /// The log.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// No trial has a chance: the first points all failed.
    #[error("the first {points} points all failed: {reason}; see {stderr}")]
    AllFail {
        /// How many.
        points: usize,
        /// Why the first did.
        reason: String,
        /// What it said.
        stderr: PathBuf,
    },
    /// A table cannot be made.
    #[error("cannot make the table of trials")]
    Table(#[from] ArrowError),
    /// A file could not be read or written, or a command not be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

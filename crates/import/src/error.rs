//! Why files could not be imported.

use std::path::PathBuf;

use epsiloscope_format::FormatError;

/// What went wrong, naming the file and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// The run cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// There is nothing to import. Look at the path, at `--include` and at `--exclude`.
    #[error("{}: {found}: expected {expected}", path.display())]
    Nothing {
        /// Where was looked.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What was looked for.
        expected: String,
    },

    /// A pattern over names that is none.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },

    /// Two tags or arrays that would be the same tensor. Strip less of their names.
    #[error("{}: {first:?} and {second:?} would both be the tensor {name:?}", path.display())]
    SameName {
        /// Where.
        path: PathBuf,
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What both would be called.
        name: String,
    },

    /// Histograms whose bins say nothing of small magnitudes.
    #[error("{}: {tag:?} at step {step}: {reason}", path.display())]
    Bins {
        /// The event file.
        path: PathBuf,
        /// The histogram's tag.
        tag: String,
        /// Its step.
        step: i64,
        /// Which bins, and why they are of no use.
        reason: String,
    },

    /// A file of arrays that cannot be one, or contradicts another.
    #[error("{}: {reason}", path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
}

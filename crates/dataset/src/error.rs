//! Why the data set could not be brought up to date.

use std::path::PathBuf;

use epsiloscope_analysis::AnalysisError;
use epsiloscope_format::FormatError;
use epsiloscope_report::OutputError;
use polars::error::PolarsError;

/// What went wrong, naming the file or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataSetError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// The run cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// The run cannot be analysed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),

    /// A result could not be encoded.
    #[error("{}: cannot encode the table", path.display())]
    Encode {
        /// The file it was for.
        path: PathBuf,
        /// What the encoder says.
        source: OutputError,
    },

    /// Polars refused an operation on our own frames.
    #[error("cannot build the table {table}")]
    Table {
        /// The table.
        table: &'static str,
        /// What polars says.
        source: PolarsError,
    },

    /// Another process brings the data set up to date. Wait for it.
    #[error("{}: locked: another process is writing this data set", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// A file that is not what was written there. Remove it, or the data set; it is computed anew.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

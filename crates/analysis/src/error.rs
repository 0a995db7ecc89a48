//! Why a run could not be analysed.

use std::path::PathBuf;

use epsiloscope_format::FormatError;
use polars::error::PolarsError;

/// What went wrong, naming the run and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// The run directory cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// Polars refused an operation on our own frames.
    #[error("{}: cannot build the table", run.display())]
    Table {
        /// The run.
        run: PathBuf,
        /// What polars says.
        source: PolarsError,
    },

    /// The run does not hold what the question needs. Record it with other options.
    #[error("{}: {reason}", run.display())]
    NotRecorded {
        /// The run.
        run: PathBuf,
        /// What is missing, and how to record it.
        reason: String,
    },

    /// The magnitudes contradict the manifest or themselves.
    #[error("{}: magnitudes of {tensor:?} at step {step}: {reason}", run.display())]
    Replay {
        /// The run.
        run: PathBuf,
        /// The tensor.
        tensor: String,
        /// The step.
        step: i64,
        /// What was expected.
        reason: String,
    },
}

//! Everything that can end a recording, one variant per cause.

use epsiloscope_format::FormatError;
use tch::TchError;

/// Why recording could not begin, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// The run directory cannot be written; the message names the path.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// Nothing requires a gradient. Build the model before the recorder, and unfreeze what is to be recorded.
    #[error("no trainable tensor in the variable store: expected a model built before recording starts")]
    NothingTrainable,

    /// A tensor's gradient has another number of elements than it had when recording started.
    #[error("tensor {tensor}: {found} gradient elements: expected {expected}, as when recording started")]
    Resized {
        /// The tensor's name.
        tensor: String,
        /// Elements found.
        found: usize,
        /// Elements expected.
        expected: usize,
    },

    /// Libtorch could not hand over a gradient.
    #[error("tensor {tensor}: cannot read its gradient: {source}")]
    Torch {
        /// The tensor's name.
        tensor: String,
        /// What libtorch said.
        source: TchError,
    },

    /// The writer's thread could not be started.
    #[error("cannot start the writer's thread: {0}")]
    Thread(#[source] std::io::Error),

    /// A bug in the recorder, contained.
    #[error("the recorder panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

//! Everything that can go wrong with a recording, one variant per cause.

use std::path::PathBuf;

use epsiloscope_format::FormatError;
use tch::TchError;

/// Why recording could not begin, ended early, or lost something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// The run directory cannot be written; the message names the path. Recording goes on and tries again.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// Nothing requires a gradient. Build the model before the recorder, and let the patterns match some of it.
    #[error("no trainable tensor in the variable store: expected a model built before recording starts{hint}")]
    NothingTrainable {
        /// More on what was expected.
        hint: &'static str,
    },

    /// A pattern of tensor names that is none.
    #[error("pattern {pattern:?}: {reason}: expected a glob such as \"conv*.weight\"")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A shard that does not fit the whole tensor.
    #[error("tensor {tensor}: shard of elements {first} to {end} of a tensor of {numel}: expected it to lie inside")]
    Shard {
        /// The tensor's name.
        tensor: String,
        /// The shard's first element.
        first: i64,
        /// The element after its last.
        end: i64,
        /// Elements of the whole tensor.
        numel: i64,
    },

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

    /// Libtorch could not count gradients.
    #[error("cannot count gradients: {0}")]
    Count(#[source] TchError),

    /// A file of moments that cannot be read or written, or does not fit the model.
    #[error("{}: {reason}", path.display())]
    Moments {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// The writer's thread could not be started.
    #[error("cannot start the writer's thread: {0}")]
    Thread(#[source] std::io::Error),

    /// The disk took nothing for so long that the recorder no longer waits for it.
    #[error("the disk took nothing for {seconds} s: what was queued may be lost")]
    Stalled {
        /// How long the recorder waited.
        seconds: u64,
    },

    /// A bug in the recorder, contained.
    #[error("the recorder panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

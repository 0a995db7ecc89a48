//! Everything that can go wrong with a recording, one variant per cause.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use epsiloscope_format::FormatError;

/// What a framework, such as libtorch, reports.
pub trait FrameworkError: Error + Send + Sync + 'static {}

impl<E: Error + Send + Sync + 'static> FrameworkError for E {}

/// Why recording could not begin, ended early, or lost something; `F` is what the framework says that gradients come from.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError<F: FrameworkError> {
    /// The run directory cannot be written; the message names the path. Recording goes on and tries again.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// Nothing requires a gradient. Build the model before the recorder, and let the patterns match some of it.
    #[error("no trainable tensor: expected a model built before recording starts{hint}")]
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

    /// A shard of nothing that is recorded.
    #[error("shard of tensor {tensor}: expected the name, or the first of several, of a trainable tensor")]
    UnknownShard {
        /// The name in question.
        tensor: String,
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

    /// The framework could not hand over a gradient.
    #[error("tensor {tensor}: cannot read its gradient: {source}")]
    Torch {
        /// The tensor's name.
        tensor: String,
        /// What the framework said.
        source: F,
    },

    /// The framework could not count gradients.
    #[error("cannot count gradients: {0}")]
    Count(#[source] F),

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
    #[error("the disk took nothing for {patience:?}: what was queued may be lost")]
    Stalled {
        /// How long the recorder waited.
        patience: Duration,
    },

    /// The writer's thread has ended without a word, which is a bug.
    #[error("the writer's thread has ended")]
    Ended,

    /// A bug in the recorder, contained.
    #[error("the recorder panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

//! Everything that can go wrong, one variant per cause.

use std::path::PathBuf;

use tch::TchError;

/// Why an optimizer cannot be built, take a step, or be saved and loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// A setting is outside its range.
    #[error("{name} is {value}: expected {expected}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },

    /// A gradient that no update is defined for. Take an embedding's dense gradient: `sparse: false`.
    #[error("tensor {tensor}: {found} gradient: expected a dense one of floating-point numbers")]
    Gradient {
        /// The tensor's name.
        tensor: String,
        /// What its gradient is.
        found: &'static str,
    },

    /// Libtorch refused an operation of a tensor's update.
    #[error("tensor {tensor}: cannot take its step: {source}")]
    Torch {
        /// The tensor's name.
        tensor: String,
        /// What libtorch said.
        source: TchError,
    },

    /// Libtorch could not compute or hold gradients.
    #[error("cannot compute gradients: {0}")]
    Gradients(#[source] TchError),

    /// A file of states cannot be written or read.
    #[error("optimizer states in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What libtorch, the safetensors library or the system said.
        source: TchError,
    },

    /// A file of states is of another algorithm, other settings or another model.
    #[error("optimizer states in {}: {entry}: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The name of a tensor in the file.
        entry: String,
        /// What the optimizer takes there.
        expected: String,
        /// What the file has there.
        found: String,
    },
}

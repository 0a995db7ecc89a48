//! Makes runs of what other programs wrote down of gradients.
//!
//! | from | holds | a run of it |
//! |---|---|---|
//! | [TensorBoard's event files](tensorboard()) | histograms in bins of a factor of 1.1 | histograms; bounds of ε from those alone |
//! | [npz and safetensors files](values()) | every element's gradient, step by step | what the recorder would have written |
//!
//! The runs are written by `epsiloscope-format` and read like any other. What an import cannot know stands in the manifest
//! ([`Imported`](epsiloscope_format::Imported)), and whoever reads the run says it with each result.
//!
//! Files are taken for what strangers may have made: lengths are held against limits before memory is asked for, and what
//! does not add up is told with the file and, in event files, the offset.

mod cadence;
mod error;
mod event;
mod event_file;
mod fold;
mod names;
mod npy;
mod options;
mod tensorboard;
mod value_file;
mod values;
mod wire;

pub use error::ImportError;
pub use options::{ImportedRun, Options, optimizer_settings};
pub use tensorboard::tensorboard;
pub use values::{ValueFormat, values};

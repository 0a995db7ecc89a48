//! The run directory: its tables, its manifest, a writer that survives crashes and a reader that checks.
//!
//! The run directory is the only interface between recording and analysis:
//!
//! ```text
//! <run>/run.json                                manifest
//! <run>/parts-r000.jsonl                        one line per flush of rank 0: its part files, their steps, digests
//! <run>/{magnitudes,histograms,tensors,scalars,steps}/part-r000-00000.parquet
//! <run>/superseded/…                            parts of steps beyond the one at which the run was resumed
//! <run>/lock-r000                               held by the rank's only writer
//! ```
//!
//! - [`schema`]: tables, columns, types, units, encodings: the one place where they are written down.
//! - [`Manifest`]: what was recorded and how, as `run.json`.
//! - [`RunWriter`]: buffers steps and publishes part files; [`Run`]: opens a run and reads what matches its digest.
//! - [`parquet_file`]: Arrow batches to Parquet bytes in the encodings every reader takes.
//!
//! This crate knows nothing of libtorch, optimizers or polars, and computes no statistic.

mod buffers;
mod columns;
mod error;
mod escape;
pub mod fs;
mod key_column;
mod manifest;
pub mod parquet_file;
mod part_encoder;
mod parts;
mod publish;
mod reader;
mod record;
mod resume;
pub mod schema;
mod writer;

pub use columns::{HistogramBatch, MagnitudeBatch, ScalarBatch, StepBatch, TensorBatch};
pub use error::FormatError;
pub use escape::escaped;
pub use manifest::{
    Cadence, CriticalEpsilonPolicy, GradientDefinition, Gradients, Losses, MagnitudePolicy, Manifest, Mode,
    OptimizerSettings, Ranks, Resumption, Software, Status, StepRange, TableTotals, TensorInfo, Totals, now,
};
pub use parts::PartEntry;
pub use publish::publish;
pub use reader::Run;
pub use record::{Elements, Observation, Sample, StepRecord, StepScalars};
pub use schema::{SCHEMA_VERSION, Table};
pub use writer::{RunWriter, WriterOptions};

/// The quantity that holds what enters an optimizer's moments.
pub const GRADIENT: &str = "gradient";

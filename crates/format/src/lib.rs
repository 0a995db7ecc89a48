//! The run directory: its tables, its manifest, a writer that survives crashes and a reader that checks.
//!
//! The run directory is the only interface between recording and analysis:
//!
//! ```text
//! <run>/run.json                                manifest
//! <run>/parts-r000.jsonl                        one line per finished part file of rank 0: rows, steps, bytes, digest
//! <run>/{magnitudes,histograms,tensors,steps}/part-r000-00000.parquet
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
mod manifest;
pub mod parquet_file;
mod parts;
mod publish;
mod reader;
pub mod schema;
mod writer;

pub use columns::{HistogramBatch, MagnitudeBatch, StepBatch, TensorBatch};
pub use error::FormatError;
pub use escape::escaped;
pub use manifest::{
    DecayRates, GradientDefinition, MagnitudePolicy, Manifest, Mode, OptimizerSettings, Software, Status, TableTotals,
    TensorInfo, Totals, now,
};
pub use parts::PartEntry;
pub use publish::publish;
pub use reader::Run;
pub use schema::{SCHEMA_VERSION, Table};
pub use writer::{Observation, RunWriter, Sample, StepRecord, StepScalars, WriterOptions};

/// The quantity that holds what enters an optimizer's moments.
pub const GRADIENT: &str = "gradient";

//! The run directory: its tables, its manifest, a writer that survives crashes and a reader that checks.
//!
//! The run directory is the only interface between recording and analysis:
//!
//! ```text
//! <run>/run.json                                manifest
//! <run>/parts-r000.jsonl                        one line per flush of rank 0: its part files, their steps, digests
//! <run>/{magnitudes,histograms,tensors,scalars,steps}/part-r000-00000.parquet
//! <run>/superseded/…                            what a resumption or compaction has set aside
//! <run>/lock-r000                               held by the rank's only writer
//! ```
//!
//! - [`schema`]: tables, columns, types, units, encodings: the one place where they are written down.
//! - [`Manifest`]: what was recorded and how, as `run.json`.
//! - [`RunWriter`]: buffers steps and publishes part files; [`Run`]: opens a run and reads what matches its digest.
//! - [`Storage`]: where a run is kept when it is read; [`Local`] is a directory in which nothing is trusted.
//! - [`compact()`]: many small parts into few.
//! - [`parquet_file`]: Arrow batches to Parquet bytes in the encodings every reader takes.
//!
//! # What a crash loses
//!
//! After a process is killed at any moment, a reader of the run sees every step up to some step, whole, and none after it.
//! Missing are the steps since the last flush: of those that [`RunWriter::append`] had returned from, fewer than
//! [`WriterOptions::flush_rows`] rows of any table (500,000), and none older than [`WriterOptions::flush_secs`] (5 s) and
//! the time that the disk takes for a flush. With `flush_secs` 0 that is none at all. Whoever reads `<table>/*.parquet`
//! without the list may also see parts of the flush that was under way, during an interrupted resumption fewer rows, and
//! during an interrupted compaction rows twice, but never a torn file.
//!
//! A disk that fails loses nothing at once: encoded parts are kept and written anew every `flush_secs` seconds, meanwhile
//! steps are buffered, and only when `flush_rows` rows wait are further steps dropped, counted and said in `run.json`.
//!
//! Against a power cut every file and the folder it is in are fsynced before anything refers to it. Not promised: disks
//! that lie about fsync, file systems without `flock`.
//!
//! # What is checked, and what is not promised
//!
//! `run.json`, every line of a list and every part file have a 128-bit digest, and a finished run's list must come to the
//! rows that its manifest counts: of a finished run no byte changes, vanishes or appears unnoticed. Of one that is still
//! `running`, lines cut off the end of a list cannot be told from lines that were never written; nor, in a finished one, those of
//! a rank other than 0, but then [`Run::is_finished`] is false unless they held scalars alone.
//!
//! Before a part is decoded, its footer and page headers are followed along the grammar of those written here and held
//! against limits, so that time and memory stay bounded whatever a file says, and a panic of the Parquet library becomes
//! a [`FormatError`]. Digests are integrity, not authenticity: who writes valid digests can write any numbers. Not
//! promised either: what changes while it is read, and memory that errs before a digest is taken.
//!
//! This crate knows nothing of libtorch, optimizers or polars, and computes no statistic.

mod audit;
mod buffers;
mod columns;
mod compact;
mod configuration;
mod error;
mod escape;
mod folders;
mod footer_guard;
pub mod fs;
mod hybrid;
mod key_column;
mod lock;
mod manifest;
pub mod parquet_file;
mod part_decoder;
mod part_encoder;
mod part_reader;
mod parts;
mod publish;
mod reader;
mod record;
mod resume;
pub mod schema;
mod seal;
mod storage;
mod thrift;
mod values;
mod writer;

pub use audit::Rows;
pub use columns::{HistogramBatch, MagnitudeBatch, ScalarBatch, Segment, StepBatch, TensorBatch};
pub use compact::{CompactOptions, Compaction, compact, compact_on, plan_compaction};
pub use configuration::{INCIDENTAL_LABELS, SEED_LABEL};
pub use error::FormatError;
pub use escape::{escaped, is_hidden};
pub use lock::has_writer;
pub use manifest::{
    Cadence, CriticalEpsilonPolicy, GradientDefinition, Gradients, Imported, Losses, MagnitudePolicy, Manifest, Mode,
    OptimizerSettings, Ranks, Resumption, Software, SourceBins, Status, StepRange, TableTotals, TensorInfo, Totals,
    now,
};
pub use part_reader::Part;
pub use parts::{PartEntry, digest};
pub use publish::{folder_below, open_lock, publish};
pub use reader::Run;
pub use record::{Elements, Observation, Sample, StepRecord, StepScalars};
pub use schema::{MAX_NAME_BYTES, SCHEMA_VERSION, Table};
pub use storage::{Local, Storage};
pub use values::Values;
pub use writer::{RunWriter, WriterOptions};

/// The quantity that holds what enters an optimizer's moments.
pub const GRADIENT: &str = "gradient";

//! How results are shown: tables for people, CSV, JSON and Parquet for programs, a verdict in sentences.
//!
//! This crate computes nothing: it takes the frames and estimates of `epsiloscope-analysis` and writes them to whatever
//! writer it is given.

mod batch;
mod candidates;
mod escape;
mod number;
mod output;
mod run;
mod verdict;

pub use batch::{frame, stacked};
pub use candidates::write_candidates;
pub use output::{
    Format, FrameWriter, MAX_TABLE_ROWS, OutputError, decode_parquet, encode_parquet, write_frame, write_more_rows,
};
pub use run::{Gaps, write_run};
pub use verdict::{verdict_notes, verdict_sentence, write_verdict};

//! How results are shown: tables for people, CSV, JSON and Parquet for programs, a verdict in sentences, panels of figures.
//!
//! This crate computes nothing: it takes the frames and estimates of `epsiloscope-analysis` and writes them to whatever
//! writer it is given, or hands them to `epsiloscope-figure` to be drawn ([`panels()`]).

mod batch;
mod candidates;
mod escape;
mod number;
mod output;
mod panels;
mod run;
mod seen_json;
mod told;
mod verdict;

pub use batch::{frame, stacked};
pub use candidates::{told_candidates, write_candidates};
pub use output::{
    Format, FrameWriter, MAX_TABLE_ROWS, OutputError, decode_parquet, encode_parquet, more_rows, told_rows,
    write_frame, write_more_rows,
};
pub use panels::{
    Glance, Kind, MAX_GROUPS, PanelError, PanelOptions, estimate_panels, figure, glance, histogram_panels, panels,
};
pub use run::{Gaps, write_run};
pub use told::{Side, Told};
pub use verdict::{told_verdict, verdict_notes, verdict_sentence, write_verdict};

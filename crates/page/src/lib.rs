//! Runs as one HTML file that shows and answers: self-contained, interactive, offline.
//!
//! [`RunPage::of`] takes what the page needs of a run out of `epsiloscope-analysis`, made small enough to be carried
//! around: windows of steps are merged and bins coarsened by exact sums until they fit a budget. [`html()`] puts runs, the
//! page's own scripts and styles and Apache `ECharts`, which draws, into one file. The page computes sums, shares and
//! quotients of these numbers, nothing else.
//!
//! Counts of critical ε are never coarsened: shares shown for an ε, which the page's slider keeps at the edges of bins, are
//! those of `epsiloscope candidates`.
//!
//! What this crate does not do: it opens no file, and its page loads nothing. A content security policy allows the scripts
//! and styles that stand in the file, by their digests, and nothing else; names that runs bring are data, never markup.

mod budget;
mod html;
mod magnitudes;
mod respond;
mod run;

pub use budget::Budget;
pub use html::html;
pub use run::{Options, RunPage};

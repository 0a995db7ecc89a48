//! The analysis of one run or thousands, kept as a data set that is brought up to date: only runs that changed are
//! computed anew.
//!
//! ```text
//! <root>/runs/run=<name>/part-0.parquet        settings, extent and gaps of each run
//! <root>/tensors/run=<name>/…                  each tensor: layer, kind, health of its gradients
//! <root>/histograms/run=<name>/…               counts per bin, by window of steps
//! <root>/estimates/run=<name>/…                bounds of ε, by optimizer, scope, combination and step
//! <root>/candidates/run=<name>/…               what values of ε do
//! <root>/drift/part-0.parquet                  how bounds move, and away from those of the calibration
//! <root>/spread/part-0.parquet                 how far apart the runs of one configuration are
//! <root>/faults/part-0.parquet                 what could not be read or analysed the last time, a line each
//! <root>/.state/<name>.json                    from what each run's files were computed
//! ```
//!
//! Columns are in [`epsiloscope_analysis::schema`]. Hive-style paths say which run a file is about, so the files of one run
//! have no column `run`; every reader adds it.
//!
//! A run's results are current if the run, the options and the program are those they were computed from, and the files
//! have the lengths they were written with. Every file is replaced atomically, a run's state last. So whoever reads while
//! the data set is brought up to date sees whole files, and after an interruption the next call goes on where it stopped.
//!
//! This crate computes nothing itself and prints nothing.

mod across;
mod error;
mod layout;
mod results;
mod state;
mod stored;
mod update;

pub use error::DataSetError;
pub use layout::partition;
pub use results::Options;
pub use stored::{Stored, StoredTable};
pub use update::{DataSet, Update, update_table};

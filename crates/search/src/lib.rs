//! Finds hyperparameters by running somebody's own command, inside a space that is known beforehand.
//!
//! - [`Parameter`]: a name and what it may be: a range, on a logarithmic or linear axis, or choices.
//! - [`Strategy`]: which points to try, given what came of the earlier ones. A pure function of points, so that a search
//!   that was killed goes on as if it had not been.
//! - [`Template`] makes a command of a point, [`Metric`] finds its value in what the command printed.
//! - [`Search`]: runs the commands, several at a time, and keeps what came of each in an append-only log.
//! - [`Summary`]: the best point, what lies within noise of it, what the search has spared.
//!
//! ```text
//! <out>/trials.jsonl        what is searched and how, then one line per finished trial, each with its digest
//! <out>/trials/00012-seed0/ stdout and stderr of a trial; the command may keep its own files there
//! <out>/trials.parquet      the finished trials as a table
//! <out>/lock                held by the only searcher
//! ```
//!
//! A *trial* is one run of the command: a point and a seed. Points are proposed in batches; the strategy sees a batch's
//! values when all of it is there, so that what is tried does not depend on how many trials run at once.
//!
//! This crate knows nothing of gradients, estimates and runs, and prints nothing.

mod cross_entropy;
mod engine;
mod error;
mod grid;
mod log;
mod metric;
mod noise;
mod optuna;
mod parameter;
mod process;
mod random;
mod strategy;
mod summary;
mod table;
mod template;
mod trial;
mod truncated_normal;

pub use cross_entropy::{CrossEntropy, Distribution};
pub use engine::{Ended, Event, Observer, Search, Settings};
pub use error::SearchError;
pub use grid::{even, powers_of_ten};
pub use metric::{Goal, Metric};
pub use optuna::optuna_script;
pub use parameter::{Axis, Domain, Parameter, RESERVED, Value};
pub use strategy::Strategy;
pub use summary::{Summary, Wide};
pub use table::{points_table, summary_table, trials_table};
pub use template::Template;
pub use trial::{Outcome, Point, Trial};
pub use truncated_normal::TruncatedNormal;

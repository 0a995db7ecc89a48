//! From a recorded run to histogram tables and the search space of ε.
//!
//! - [`mod@histograms`]: the gradient magnitude histogram of every tensor, or of the whole run, as a table.
//! - [`grouping`], [`window`]: the tensors and the steps that a result is over.
//! - [`replay`]: moments of Adam-family optimizers, replayed offline from recorded gradients.
//! - [`mod@estimate`]: the bounds of ε by the method of Silva & Rodriguez (arXiv 2311.11532), each with its sample
//!   size, its method, its error and the tensor that sets it.
//! - [`inspect`]: what a run holds.
//! - [`mod@diff`]: how far two runs lie apart.
//! - [`mod@verify`]: whether a run is sound.
//!
//! Tables come as polars frames. Part files are opened by `epsiloscope-format`'s checked reader, never by polars. A
//! result depends on the files and the options alone, not on threads, directory order or the clock.

mod critical_epsilon;
pub mod diff;
mod error;
pub mod estimate;
pub mod estimate_tables;
pub mod grouping;
pub mod histograms;
pub mod inspect;
mod order_statistics;
pub mod replay;
mod snapshots;
pub mod verify;
pub mod window;

pub use diff::diff;
pub use error::AnalysisError;
pub use estimate::{Bound, Estimate, EstimateOptions, LeftOut, Method, OwnEpsilon, RunBound, TensorEstimate, estimate};
pub use histograms::{Origin, Scope, histograms};
pub use inspect::{files, scalars, steps, tensor_health};
pub use verify::verify;

//! From a recorded run to histogram tables and the search space of ε.
//!
//! - [`mod@histograms`], [`histogram_tables`]: gradient magnitude histograms, by tensor, layer, kind or over the run.
//! - [`through_training`]: the same, window by window, as small as asked for.
//! - [`grouping`], [`window`]: the tensors and the steps that a result is over.
//! - [`mod@estimate`]: the bounds of ε by the method of Silva & Rodriguez (arXiv 2311.11532), each with its sample
//!   size, its method, its error and the tensor that sets it.
//! - [`mod@effects`]: what a value of ε does, which ones to try ([`search_grid`]), at which learning rates.
//! - [`mod@response`]: the same of every ε at a bin's edge, tensor by tensor, for who moves ε about.
//! - [`mod@drift`], [`mod@spread`]: how bounds move along a run, and differ from seed to seed, from [bounds along
//!   runs](along).
//! - [`limits`]: which numbers options take.
//! - [`inspect`]: what a run holds.
//! - [`mod@diff`]: how far two runs lie apart.
//! - [`mod@verify`]: whether a run is sound.
//!
//! Tables come as polars frames. Part files are opened by `epsiloscope-format`'s checked reader, never by polars. A
//! result depends on the files and the options alone, not on threads, directory order or the clock.

pub mod along;
mod at;
mod bootstrap;
mod combination;
mod critical_epsilon;
mod cursor;
pub mod denominator;
pub mod diff;
mod distribution;
pub mod drift;
pub mod effect_tables;
pub mod effects;
mod error;
pub mod estimate;
pub mod estimate_tables;
mod from_gradients;
pub mod grouping;
pub mod histogram_tables;
pub mod histograms;
pub mod inspect;
mod kept_ranks;
pub mod limits;
mod order_statistics;
mod pooled;
mod replay;
pub mod response;
pub mod runs;
pub mod schema;
pub mod search_grid;
mod snapshots;
pub mod spread;
mod tensor_bounds;
pub mod through_training;
pub mod verify;
pub mod window;

pub use along::{BoundsAt, bounds_along};
pub use at::At;
pub use bootstrap::bootstrap_over;
pub use combination::Combination;
pub use diff::diff;
pub use drift::drift;
pub use effects::{CandidateOptions, Candidates, Regime, candidates};
pub use error::AnalysisError;
pub use estimate::{
    Bound, CombinedBound, Estimate, EstimateOptions, LeftOut, Method, OwnEpsilon, ReadFrom, SearchSpace,
    TensorEstimate, estimate,
};
pub use grouping::{Grouping, Scope};
pub use histograms::{HistogramOptions, Origin, ScopeHistogram, histograms};
pub use inspect::{files, scalars, steps, tensor_health};
pub use response::{Response, responses};
pub use search_grid::TrialRange;
pub use spread::spread;
pub use verify::verify;
pub use window::Window;

//! What every recorder does, whichever framework its gradients come from.
//!
//! - [`Description`]: what is to be recorded, and what it comes to for the tensors that there are ([`Plan`]).
//! - [`HostCounter`]: counts gradients that lie in memory as floats, and the critical ε that follow from them.
//! - [`rows`]: the same on a device, many tensors at once.
//! - [`BackgroundWriter`]: the thread that encodes and writes, behind a bounded queue; [`Shared`] is what both sides know.
//!
//! The crates `epsiloscope_recorder` (libtorch) and `epsiloscope_python` (PyTorch) take gradients out of training loops and
//! hand them over here. This crate knows neither: slices of `f32` go in, a run directory comes out.

mod counting;
mod description;
mod error;
mod host;
mod plan;
pub mod rows;
mod sampling;
mod selection;
mod workers;
mod writer;

pub use counting::{EnginePlan, Quantities, RecordedElements, TensorPlan, Wanted, observation};
pub use description::{DEFAULT_MAGNITUDES, Description, Shard};
pub use error::{FrameworkError, RecordingError};
pub use host::{HostCounter, Lent};
pub use plan::{Candidate, Plan, Planned};
pub use sampling::recorded_elements;
pub use selection::Selection;
pub use writer::{BackgroundWriter, DROP_PATIENCE, FINISH_PATIENCE, QUEUE_STEPS, Shared, WhenFull};

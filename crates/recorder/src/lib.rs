//! Records gradient magnitudes of a training run that uses libtorch through tch.
//!
//! One [`Recorder`] sits in the training loop between `backward` and the optimizer's step and writes a run directory
//! (crate `epsiloscope_format`) from which ε's search space is read off afterwards:
//!
//! ```no_run
//! use epsiloscope_recorder::{Mode, OptimizerSettings, Recorder, StepInfo};
//! use tch::nn::{self, Module, OptimizerConfig};
//! use tch::{Device, Kind, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let var_store = nn::VarStore::new(Device::Cpu);
//! let model = nn::linear(var_store.root() / "layer", 784, 10, nn::LinearConfig::default());
//! let mut optimizer = nn::Adam::default().build(&var_store, 1e-3)?;
//!
//! let settings = OptimizerSettings {
//!     name: "adam".to_owned(),
//!     learning_rate: 1e-3,
//!     epsilon: 1e-8,
//!     beta1: Some(0.9),
//!     beta2: Some(0.999),
//!     weight_decay: 0.0,
//! };
//! let mut recorder = Recorder::builder(&var_store, settings)
//!     .mode(Mode::Monitoring)
//!     .label("model", "linear")
//!     .start("runs/linear".as_ref())?;
//!
//! for batch in 1..=100 {
//!     let images = Tensor::rand([64, 784], (Kind::Float, Device::Cpu));
//!     let labels = Tensor::randint(10, [64], (Kind::Int64, Device::Cpu));
//!     let loss = model.forward(&images).cross_entropy_for_logits(&labels);
//!     optimizer.zero_grad();
//!     loss.backward();
//!     recorder.step(&StepInfo {
//!         epoch: Some(1),
//!         loss: Some(loss.double_value(&[])),
//!         snapshot: batch == 100,
//!         ..StepInfo::default()
//!     });
//!     optimizer.step();
//! }
//! recorder.finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! For a calibration leave `optimizer.step()` out, say [`Mode::Calibration`] and zero the gradients as usual.
//!
//! What it does, at every step and for every tensor that has a gradient:
//! - counts the magnitudes of every element into an exact histogram and summarises them;
//! - keeps the values of a fixed sample of elements, the same ones at every step ([`MagnitudePolicy`]);
//! - carries the moments of the optimizers whose critical ε is wanted ([`Optimizer`]), over every element, and counts
//!   the critical ε of every element at steps that ask for a [snapshot](StepInfo::snapshot).
//!
//! What it does not do:
//! - It changes no parameter, no gradient and no random state, and it brings no training down: a failure ends the
//!   recording, is kept for [`Recorder::failure`] and comes back from [`Recorder::finish`].
//! - It knows neither loss scales nor clipping: call [`Recorder::step`] once per optimizer step, after accumulation,
//!   unscaling and clipping, so that it reads what the optimizer will read, and say so in the builder.
//! - It reads dense gradients; a sparse one ends the recording.
//! - It computes no bounds on ε; that needs no libtorch and is done on the run directory.
//!
//! Costs: the training thread counts; encoding and writing have a thread of their own behind a queue of
//! [`QUEUE_STEPS`] steps. If that queue is full, training waits: no step is ever left out.
//! Memory for all four optimizers is 24 bytes per element, 4 for Adam alone. What waits in the queue comes on top: 4
//! bytes per recorded element and step.

mod builder;
mod device;
mod device_moments;
mod engine;
mod error;
mod frozen;
mod host;
mod moments_file;
mod recorder;
mod sampling;
mod selection;
mod watched;
mod writer;

pub use builder::{CountOn, DEFAULT_MAGNITUDES, RecorderBuilder, Shard};
pub use epsiloscope_format::{Losses, MagnitudePolicy, Mode, OptimizerSettings, WriterOptions};
pub use epsiloscope_moments::Optimizer;
pub use error::RecorderError;
pub use frozen::FrozenWeights;
pub use recorder::{FINISH_PATIENCE, Health, Recorder, StepInfo};
pub use writer::{DROP_PATIENCE, QUEUE_STEPS, WhenFull};

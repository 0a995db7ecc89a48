//! Adaptive optimizers for tch, with ε where each one's reference has it and with states that can be read.
//!
//! tch offers libtorch's own Adam, AdamW, RMSprop and SGD; their states are out of reach, and the other relatives of
//! Adam are missing. Here they all are, written with tensor operations, so on any device and for any floating-point
//! kind:
//!
//! ```
//! use epsiloscope_optimizers::{Adam, Algorithm};
//! use tch::nn::{self, Module};
//! use tch::{Device, Kind, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let var_store = nn::VarStore::new(Device::Cpu);
//! let model = nn::linear(var_store.root() / "layer", 4, 1, nn::LinearConfig::default());
//! let mut optimizer = Adam { epsilon: 1e-4, ..Adam::default() }.build(&var_store, 1e-2)?;
//!
//! let inputs = Tensor::randn([64, 4], (Kind::Float, Device::Cpu));
//! let targets = inputs.sum_dim_intlist(1, true, None::<Kind>);
//! for _step in 0..10 {
//!     let loss = model.forward(&inputs).mse_loss(&targets, tch::Reduction::Mean);
//!     optimizer.zero_grad();
//!     loss.backward();
//!     optimizer.step()?;
//! }
//!
//! let state = optimizer.state("layer.weight").ok_or("no gradient")?;
//! let second_moment = state.buffer("second_moment").ok_or("no such buffer")?;
//! // Below the root of its bias-corrected second moment, ε has no say in an element's step.
//! let critical_epsilon = (second_moment / (1.0 - 0.999_f64.powi(state.steps() as i32))).sqrt();
//! println!("{critical_epsilon}");
//! # Ok(())
//! # }
//! ```
//!
//! # Denominators
//!
//! The step is p ← p − lr·m̂ / denominator, with g for m̂ where there is no first moment. A hat is bias correction,
//! x̂ = x / (1 − β^t).
//!
//! | algorithm | denominator | default ε | buffers |
//! |---|---|---|---|
//! | [`Adam`], [`Adam::adamw`], [`NAdam`] | sqrt(v̂) + ε | 1e-8 | `first_moment`, `second_moment`; [`NAdam`]: `mu_product` |
//! | [`Adam::amsgrad`] | sqrt(max v) / sqrt(1 − β2^t) + ε | 1e-8 | those of Adam, `max_second_moment` |
//! | [`RAdam`] | (sqrt(v) + ε) / (r·sqrt(1 − β2^t)) | 1e-8 | `first_moment`, `second_moment` |
//! | [`RmsProp`] | sqrt(v) + ε; centered: sqrt(v − ḡ²) + ε | 1e-8 | `second_moment`; centered: `first_moment`; with momentum: `momentum_buffer` |
//! | [`Adagrad`] | sqrt(Σg²) + ε | 1e-10 | `sum` |
//! | [`AdaBelief`] | s ← s + ε at every step; sqrt(ŝ) + ε; rectified: (sqrt(s) + ε) / (r·sqrt(1 − β2^t)) | 1e-16 | `first_moment`, `second_moment` |
//! | [`AdaMomentum`] | s ← s + ε at every step; sqrt(ŝ) | 1e-8 | `first_moment`, `second_moment` |
//! | [`EAdam`] | v ← v + ε at every step; sqrt(v̂) | 1e-8 | `first_moment`, `second_moment` |
//! | [`Yogi`] | sqrt(v̂) + ε | 1e-3 | `first_moment`, `second_moment` |
//!
//! On the CPU, in `f32`, a step has the bits of PyTorch's own (`foreach=False`) or of the reference package's.
//! `tests/python/test_optimizers.py` holds every algorithm to that, but for EAdam and AdaMomentum, which are held to
//! their formulas, and says what to expect of other kinds.
//!
//! State is created with a variable's first gradient, in the variable's kind and on its device; a variable without
//! gradient is left alone and its steps are not counted. [`Optimizer::save`] and [`Optimizer::load`] let training go on
//! as if it had never stopped.
//!
//! What this crate does not do:
//! - It takes no sparse gradients, as PyTorch's Adam, and no complex parameters.
//! - It knows one learning rate, no parameter groups.
//! - It does not fuse a step into one kernel: each of its dozen tensor operations passes over memory.

mod algorithm;
mod checkpoint;
mod error;
mod optimizer;
mod state;

mod adabelief;
mod adagrad;
mod adam;
mod adamomentum;
mod eadam;
mod nadam;
mod radam;
mod rmsprop;
mod yogi;

mod in_place;

pub use adabelief::AdaBelief;
pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamomentum::AdaMomentum;
pub use algorithm::{Algorithm, WeightDecay};
pub use eadam::EAdam;
pub use error::OptimizerError;
pub use nadam::NAdam;
pub use optimizer::Optimizer;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use state::{Initial, State};
pub use yogi::Yogi;

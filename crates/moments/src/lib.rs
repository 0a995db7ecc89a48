//! The second moments of Adam-family optimizers, element by element, and the critical ε they imply.
//!
//! The **critical epsilon** of an element is the ε at which ε's own share of the update's denominator equals the
//! gradient's share. It is the statistic of Silva & Rodriguez (arXiv 2311.11532) and generalises it: below the
//! critical ε of an element the step is adaptive, above it plain momentum.
//!
//! Moments are kept in `f32`, in the order of operations of the optimizers' PyTorch code, with the fused
//! multiply-add that PyTorch's CPU kernels use: `v.mul_(β2).addcmul_(g, g, value=1−β2)` is
//! `fma((1−β2)·g, g, β2·v)` here, on every processor. So a moment replayed from recorded gradients equals PyTorch's
//! to the last bit. (The square root taken at the end is correctly rounded here; PyTorch's vectorised one may be off
//! by one unit in the last place.)
//!
//! [`Observer`] counts a gradient and the critical ε that follow from it in one pass over memory.
//!
//! Slices in, values out: this crate depends on the histogram alone and knows nothing of tensors or files.

mod convention;
mod kernel;
mod moments;
mod observer;
mod optimizer;

pub use convention::{Convention, UnknownOptimizer};
pub use moments::{LentMoments, Moments, State, StateError};
pub use observer::{Observed, Observer};
pub use optimizer::Optimizer;

/// Decay rates of the moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Of the second moment, in `[0, 1)`; RMSprop calls it α. Adagrad has none.
    pub beta2: f64,
}

impl Default for Decay {
    /// 0.9 and 0.999, as in the paper's experiments, RMSprop's α included.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999 }
    }
}

//! What an optimizer remembers of one tensor.

use std::collections::BTreeMap;

use tch::{Kind, TchError, Tensor};

/// m, the moving average of the gradient; of a centered RMSprop, ḡ.
pub(crate) const FIRST_MOMENT: &str = "first_moment";
/// v or s, the moving average that the denominator is the root of.
pub(crate) const SECOND_MOMENT: &str = "second_moment";
/// The largest v so far, of AMSGrad.
pub(crate) const MAX_SECOND_MOMENT: &str = "max_second_moment";
/// Σg², of Adagrad.
pub(crate) const SUM: &str = "sum";
/// The moving sum of RMSprop's steps.
pub(crate) const MOMENTUM_BUFFER: &str = "momentum_buffer";
/// Π μᵢ, of NAdam.
pub(crate) const MU_PRODUCT: &str = "mu_product";

/// What a buffer holds before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// A value for every element, of the parameter's kind and on its device.
    Elements(f64),
    /// One number, kept in `f32` on the CPU as PyTorch keeps it.
    Scalar(f64),
}

/// The steps and named buffers of one tensor.
#[derive(Debug)]
pub struct State {
    pub(crate) steps: i64,
    buffers: BTreeMap<&'static str, Tensor>,
}

impl State {
    /// The state before the first step.
    pub(crate) fn new(parameter: &Tensor, buffers: &[(&'static str, Initial)]) -> Result<Self, TchError> {
        let new = |&(name, initial)| {
            let buffer = match initial {
                Initial::Elements(value) => parameter.f_full_like(value),
                Initial::Scalar(value) => Tensor::f_full([0_i64; 0], value, (Kind::Float, tch::Device::Cpu)),
            };
            Ok((name, buffer?))
        };
        Ok(Self { steps: 0, buffers: buffers.iter().map(new).collect::<Result<_, TchError>>()? })
    }

    /// Steps taken, t in the formulas. Steps without a gradient do not count.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    /// A buffer by name, or nothing if the algorithm keeps none of that name.
    pub fn buffer(&self, name: &str) -> Option<&Tensor> {
        self.buffers.get(name)
    }

    /// Every buffer with its name, in alphabetical order.
    pub fn buffers(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.buffers.iter().map(|(&name, buffer)| (name, buffer))
    }

    /// Handles on buffers, for updates in place.
    ///
    /// # Panics
    /// If the algorithm has not declared a buffer that it asks for.
    pub fn handles<const N: usize>(&self, names: [&str; N]) -> [Tensor; N] {
        names.map(|name| self.buffers[name].shallow_clone())
    }
}

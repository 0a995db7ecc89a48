//! What tells one optimizer from another, and what all of them share: weight decay and bias correction.

use std::fmt::Debug;

use tch::nn::VarStore;
use tch::{TchError, Tensor};

use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Initial, Optimizer, OptimizerError, State};

/// An update rule with its settings.
///
/// [`Optimizer`] finds gradients, counts steps and applies weight decay; an algorithm says which state it keeps per
/// tensor and how one tensor is updated.
pub trait Algorithm: Debug + Send {
    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// The first such setting.
    fn check(&self) -> Result<(), OptimizerError>;

    /// The weight decay that is applied before each update.
    fn weight_decay(&self) -> WeightDecay;

    /// Names and initial values of what is kept per tensor: two moments from zero, unless an algorithm says otherwise.
    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        vec![(FIRST_MOMENT, Initial::Elements(0.0)), (SECOND_MOMENT, Initial::Elements(0.0))]
    }

    /// Updates one tensor and its state, both in place; the state's steps count this one already.
    ///
    /// # Errors
    /// If libtorch refuses an operation.
    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError>;

    /// An optimizer of every variable of a store, as [`tch::nn::OptimizerConfig::build`].
    ///
    /// # Errors
    /// As [`Optimizer::new`].
    fn build(self, var_store: &VarStore, lr: f64) -> Result<Optimizer, OptimizerError>
    where
        Self: Sized + 'static,
    {
        Optimizer::new(Box::new(self), var_store, lr)
    }
}

/// How parameters are drawn towards zero, by a factor w.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// L2 penalty: g ← g + w·p, which enters the moments.
    Coupled(f64),
    /// p ← p − lr·w·p, apart from the gradient (Loshchilov & Hutter, arXiv 1711.05101).
    Decoupled(f64),
}

impl WeightDecay {
    /// The factor w.
    pub fn factor(self) -> f64 {
        let (Self::Coupled(factor) | Self::Decoupled(factor)) = self;
        factor
    }
}

/// Refuses settings that Adam and its kin have in common.
pub(crate) fn check_moments(beta1: f64, beta2: f64, epsilon: f64) -> Result<(), OptimizerError> {
    check_rate("beta1", beta1)?;
    check_rate("beta2", beta2)?;
    check_not_negative("epsilon", epsilon)
}

/// Refuses a decay rate outside [0, 1).
pub(crate) fn check_rate(name: &'static str, value: f64) -> Result<(), OptimizerError> {
    check(name, value, (0.0..1.0).contains(&value), "a decay rate in [0, 1)")
}

/// Refuses a negative or infinite setting.
pub(crate) fn check_not_negative(name: &'static str, value: f64) -> Result<(), OptimizerError> {
    check(name, value, (0.0..f64::INFINITY).contains(&value), "a finite number that is not negative")
}

fn check(name: &'static str, value: f64, holds: bool, expected: &'static str) -> Result<(), OptimizerError> {
    if holds { Ok(()) } else { Err(OptimizerError::Setting { name, value, expected }) }
}

/// 1 − β^t, the share of a moving average from zero that t steps have filled.
pub(crate) fn bias_correction(beta: f64, steps: i64) -> f64 {
    // The C library's power, as in PyTorch; `powi` multiplies and may differ in the last bit.
    1.0 - beta.powf(steps as f64)
}

/// The variance rectification rₜ, or nothing while the length ρₜ of the approximated average is 5 or less.
///
/// Liu et al., arXiv 1908.03265, algorithm 2; the bound of 5, not 4, is PyTorch's and that of the reference code.
pub(crate) fn rectification(beta2: f64, steps: i64) -> Option<f64> {
    let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
    let rho = rho_inf - 2.0 * steps as f64 * beta2.powf(steps as f64) / bias_correction(beta2, steps);
    let ratio = (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho);
    (5.0 < rho).then(|| ratio.sqrt())
}

//! EAdam.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments};
use crate::in_place::{add_quotient, average, average_square};
use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, OptimizerError, State, WeightDecay};

/// EAdam: p ← p − lr·m̂ / sqrt(v̂), v being Adam's second moment to which every step adds ε (Yuan & Gao, "EAdam
/// Optimizer: How ε Impact Adam", arXiv 2011.02150, in the order of operations of the authors' code).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EAdam {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment v.
    pub beta2: f64,
    /// Added to v at every step.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
}

impl Default for EAdam {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: WeightDecay::Coupled(0.0) }
    }
}

impl Algorithm for EAdam {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut v] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        average(&mut m, gradient, self.beta1)?;
        average_square(&mut v, gradient, self.beta2)?;
        let denominator = v.f_add_scalar_(self.epsilon)?.f_sqrt()?;
        let correction = bias_correction(self.beta2, state.steps()).sqrt();
        let step_size = lr * correction / bias_correction(self.beta1, state.steps());
        add_quotient(parameter, &m, &denominator, -step_size)
    }
}

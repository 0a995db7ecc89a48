//! AdaBelief.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments, rectification};
use crate::in_place::{add_quotient, add_scaled, average, average_square};
use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, OptimizerError, State, WeightDecay};

/// AdaBelief: p ← p − lr·m̂ / (sqrt(ŝ) + ε), s being the moving average of (g − m)² to which every step adds ε
/// (Zhuang et al., arXiv 2010.07468; the package `adabelief-pytorch` 0.2.1).
///
/// Rectified, ε is added outside before bias correction, p ← p − lr·r·m̂·sqrt(1 − β2^t) / (sqrt(s) + ε), and as long as
/// the variance cannot be rectified p ← p − lr·m̂ (the package's `degenerated_to_sgd`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaBelief {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment s.
    pub beta2: f64,
    /// Added to s at every step, and to the root.
    pub epsilon: f64,
    /// Decoupled by default (the package's `weight_decouple`).
    pub weight_decay: WeightDecay,
    /// Rectifies the variance as RAdam does.
    pub rectify: bool,
}

impl Default for AdaBelief {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-16, no weight decay, rectified.
    fn default() -> Self {
        let weight_decay = WeightDecay::Decoupled(0.0);
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-16, weight_decay, rectify: true }
    }
}

impl Algorithm for AdaBelief {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut s] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        average(&mut m, gradient, self.beta1)?;
        average_square(&mut s, &gradient.f_sub(&m)?, self.beta2)?;
        let mut root = s.f_add_scalar_(self.epsilon)?.f_sqrt()?;
        let step_size = lr / bias_correction(self.beta1, state.steps());
        let correction = bias_correction(self.beta2, state.steps()).sqrt();
        if !self.rectify {
            let denominator = root.f_div_scalar_(correction)?.f_add_scalar_(self.epsilon)?;
            return add_quotient(parameter, &m, &denominator, -step_size);
        }
        match rectification(self.beta2, state.steps()) {
            Some(rectification) => {
                let denominator = root.f_add_scalar_(self.epsilon)?;
                add_quotient(parameter, &m, &denominator, -step_size * rectification * correction)
            }
            None => add_scaled(parameter, &m, -step_size),
        }
    }
}

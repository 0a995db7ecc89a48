//! AdaMomentum.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments};
use crate::in_place::{add_quotient, average, average_square};
use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, OptimizerError, State, WeightDecay};

/// AdaMomentum: p ← p − lr·m̂ / sqrt(ŝ), s being the moving average of m² to which every step adds ε (Wang et al.,
/// "Rethinking Adam: A Twofold Exponential Moving Average Approach", arXiv 2106.11514).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaMomentum {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment s.
    pub beta2: f64,
    /// Added to s at every step.
    pub epsilon: f64,
    /// Decoupled by default, as in AdaBelief, whose code it derives from.
    pub weight_decay: WeightDecay,
}

impl Default for AdaMomentum {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: WeightDecay::Decoupled(0.0) }
    }
}

impl Algorithm for AdaMomentum {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut s] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        average(&mut m, gradient, self.beta1)?;
        average_square(&mut s, &m, self.beta2)?;
        let correction = bias_correction(self.beta2, state.steps()).sqrt();
        let denominator = s.f_add_scalar_(self.epsilon)?.f_sqrt()?.f_div_scalar_(correction)?;
        add_quotient(parameter, &m, &denominator, -lr / bias_correction(self.beta1, state.steps()))
    }
}

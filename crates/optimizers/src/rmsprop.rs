//! RMSprop, plain, centered and with momentum.

use tch::{TchError, Tensor};

use crate::algorithm::{check_not_negative, check_rate};
use crate::in_place::{add_quotient, add_scaled, average_square, scale};
use crate::state::{FIRST_MOMENT, MOMENTUM_BUFFER, SECOND_MOMENT};
use crate::{Algorithm, Initial, OptimizerError, State, WeightDecay};

/// RMSprop: p ← p − lr·g / (sqrt(v) + ε), v not corrected for bias (Tieleman & Hinton, lecture 6.5 of "Neural Networks
/// for Machine Learning"; `torch.optim.RMSprop`).
///
/// With momentum μ, b ← μ·b + g / (sqrt(v) + ε) and p ← p − lr·b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Decay rate of the second moment v.
    pub alpha: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
    /// μ.
    pub momentum: f64,
    /// Takes the root of v − ḡ², ḡ being the gradient's moving average (Graves, arXiv 1308.0850).
    pub centered: bool,
}

impl Default for RmsProp {
    /// α = 0.99, ε = 1e-8, no weight decay, no momentum, not centered.
    fn default() -> Self {
        let weight_decay = WeightDecay::Coupled(0.0);
        Self { alpha: 0.99, epsilon: 1e-8, weight_decay, momentum: 0.0, centered: false }
    }
}

impl RmsProp {
    fn has_momentum(&self) -> bool {
        0.0 < self.momentum
    }

    /// v, or v − ḡ² if centered.
    fn variance(&self, gradient: &Tensor, state: &State) -> Result<Tensor, TchError> {
        let [mut v] = state.handles([SECOND_MOMENT]);
        average_square(&mut v, gradient, self.alpha)?;
        if !self.centered {
            return Ok(v);
        }
        let [mut mean] = state.handles([FIRST_MOMENT]);
        let _mean = mean.f_lerp_(gradient, 1.0 - self.alpha)?;
        v.f_addcmul(&mean.f_neg()?, &mean)
    }
}

impl Algorithm for RmsProp {
    fn check(&self) -> Result<(), OptimizerError> {
        check_rate("alpha", self.alpha)?;
        check_not_negative("epsilon", self.epsilon)?;
        check_not_negative("momentum", self.momentum)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        let zeros = Initial::Elements(0.0);
        let mut buffers = vec![(SECOND_MOMENT, zeros)];
        buffers.extend(self.centered.then_some((FIRST_MOMENT, zeros)));
        buffers.extend(self.has_momentum().then_some((MOMENTUM_BUFFER, zeros)));
        buffers
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let denominator = self.variance(gradient, state)?.f_sqrt()?.f_add_scalar_(self.epsilon)?;
        if !self.has_momentum() {
            return add_quotient(parameter, gradient, &denominator, -lr);
        }
        let [mut buffer] = state.handles([MOMENTUM_BUFFER]);
        scale(&mut buffer, self.momentum)?;
        add_quotient(&mut buffer, gradient, &denominator, 1.0)?;
        add_scaled(parameter, &buffer, -lr)
    }
}

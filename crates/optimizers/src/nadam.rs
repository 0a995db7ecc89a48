//! NAdam.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments, check_not_negative};
use crate::in_place::{add_quotient, average_square};
use crate::state::{FIRST_MOMENT, MU_PRODUCT, SECOND_MOMENT};
use crate::{Algorithm, Initial, OptimizerError, State, WeightDecay};

/// NAdam: Adam with Nesterov momentum (Dozat, "Incorporating Nesterov Momentum into Adam"; `torch.optim.NAdam`).
///
/// With μₜ = β1·(1 − 0.96^(t·ψ)/2) and Mₜ = Π μᵢ, i ≤ t:
/// p ← p − lr·((1 − μₜ)·g / (1 − Mₜ) + μₜ₊₁·m / (1 − Mₜ₊₁)) / (sqrt(v̂) + ε).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NAdam {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment v.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
    /// ψ, which warms the momentum up.
    pub momentum_decay: f64,
}

impl Default for NAdam {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-8, ψ = 0.004, no weight decay.
    fn default() -> Self {
        let weight_decay = WeightDecay::Coupled(0.0);
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay, momentum_decay: 4e-3 }
    }
}

impl NAdam {
    /// μₜ.
    fn momentum(&self, steps: i64) -> f64 {
        self.beta1 * (1.0 - 0.5 * 0.96_f64.powf(steps as f64 * self.momentum_decay))
    }
}

impl Algorithm for NAdam {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)?;
        check_not_negative("momentum_decay", self.momentum_decay)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        let zeros = Initial::Elements(0.0);
        vec![(FIRST_MOMENT, zeros), (SECOND_MOMENT, zeros), (MU_PRODUCT, Initial::Scalar(1.0))]
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut v, mut product] = state.handles([FIRST_MOMENT, SECOND_MOMENT, MU_PRODUCT]);
        let (mu, next_mu) = (self.momentum(state.steps()), self.momentum(state.steps() + 1));
        let product = f64::try_from(product.f_mul_scalar_(mu)?)?;
        let _m = m.f_lerp_(gradient, 1.0 - self.beta1)?;
        average_square(&mut v, gradient, self.beta2)?;
        let v_hat = v.f_div_scalar(bias_correction(self.beta2, state.steps()))?;
        let denominator = v_hat.f_sqrt()?.f_add_scalar_(self.epsilon)?;
        add_quotient(parameter, gradient, &denominator, -lr * (1.0 - mu) / (1.0 - product))?;
        add_quotient(parameter, &m, &denominator, -lr * next_mu / (1.0 - product * next_mu))
    }
}

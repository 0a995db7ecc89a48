//! RAdam.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments, rectification};
use crate::in_place::average_square;
use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, OptimizerError, State, WeightDecay};

/// RAdam: rectified Adam (Liu et al., arXiv 1908.03265; `torch.optim.RAdam`).
///
/// p ← p − lr·r·m̂·sqrt(1 − β2^t) / (sqrt(v) + ε): ε is added before bias correction. As long as the variance cannot
/// be rectified, p ← p − lr·m̂.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RAdam {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment v.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
}

impl Default for RAdam {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: WeightDecay::Coupled(0.0) }
    }
}

impl Algorithm for RAdam {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut v] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        let _m = m.f_lerp_(gradient, 1.0 - self.beta1)?;
        average_square(&mut v, gradient, self.beta2)?;
        let m_hat = m.f_div_scalar(bias_correction(self.beta1, state.steps()))?;
        let mut update = m_hat.f_mul_scalar(lr)?;
        if let Some(rectification) = rectification(self.beta2, state.steps()) {
            let correction = bias_correction(self.beta2, state.steps()).sqrt();
            let adaptive = v.f_sqrt()?.f_add_scalar_(self.epsilon)?.f_reciprocal_()?.f_mul_scalar(correction)?;
            update = update.f_mul_(&adaptive)?.f_mul_scalar(rectification)?;
        }
        parameter.f_sub_(&update).map(drop)
    }
}

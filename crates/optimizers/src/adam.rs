//! Adam, AdamW and AMSGrad.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments};
use crate::in_place::{add_quotient, average_square};
use crate::state::{FIRST_MOMENT, MAX_SECOND_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, Initial, OptimizerError, State, WeightDecay};

/// Adam: p ← p − lr·m̂ / (sqrt(v̂) + ε) (Kingma & Ba, arXiv 1412.6980; `torch.optim.Adam`, `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// Decay rate of the second moment v.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled in Adam, decoupled in AdamW.
    pub weight_decay: WeightDecay,
    /// Divides by the largest v so far, not corrected for bias before the maximum is taken (Reddi et al., "On the
    /// Convergence of Adam and Beyond", in PyTorch's form).
    pub amsgrad: bool,
}

impl Default for Adam {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: WeightDecay::Coupled(0.0), amsgrad: false }
    }
}

impl Adam {
    /// AdamW with PyTorch's defaults: Adam with a decoupled weight decay of 0.01 (arXiv 1711.05101).
    pub fn adamw() -> Self {
        Self { weight_decay: WeightDecay::Decoupled(1e-2), ..Self::default() }
    }

    /// AMSGrad with PyTorch's defaults.
    pub fn amsgrad() -> Self {
        Self { amsgrad: true, ..Self::default() }
    }
}

impl Algorithm for Adam {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        let zeros = Initial::Elements(0.0);
        let mut buffers = vec![(FIRST_MOMENT, zeros), (SECOND_MOMENT, zeros)];
        buffers.extend(self.amsgrad.then_some((MAX_SECOND_MOMENT, zeros)));
        buffers
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut v] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        let _m = m.f_lerp_(gradient, 1.0 - self.beta1)?;
        average_square(&mut v, gradient, self.beta2)?;
        if self.amsgrad {
            let [mut max] = state.handles([MAX_SECOND_MOMENT]);
            max.f_copy_(&max.f_maximum(&v)?)?;
            v = max;
        }
        let correction = bias_correction(self.beta2, state.steps()).sqrt();
        let denominator = v.f_sqrt()?.f_div_scalar_(correction)?.f_add_scalar_(self.epsilon)?;
        add_quotient(parameter, &m, &denominator, -lr / bias_correction(self.beta1, state.steps()))
    }
}

//! Yogi.

use tch::{TchError, Tensor};

use crate::algorithm::{bias_correction, check_moments, check_not_negative};
use crate::in_place::{add_product, add_quotient, average};
use crate::state::{FIRST_MOMENT, SECOND_MOMENT};
use crate::{Algorithm, Initial, OptimizerError, State, WeightDecay};

/// Yogi: Adam with v ← v − (1−β2)·sign(v − g²)·g² (Zaheer et al., "Adaptive Methods for Nonconvex Optimization", 2018;
/// the package `torch-optimizer` 0.3.0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yogi {
    /// Decay rate of the first moment m.
    pub beta1: f64,
    /// 1 − β2 is the share of g² by which v moves.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
    /// What both moments start from.
    pub initial_accumulator: f64,
}

impl Default for Yogi {
    /// β1 = 0.9, β2 = 0.999, ε = 1e-3, no weight decay, both moments from 1e-6.
    fn default() -> Self {
        let weight_decay = WeightDecay::Coupled(0.0);
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-3, weight_decay, initial_accumulator: 1e-6 }
    }
}

impl Algorithm for Yogi {
    fn check(&self) -> Result<(), OptimizerError> {
        check_moments(self.beta1, self.beta2, self.epsilon)?;
        check_not_negative("initial_accumulator", self.initial_accumulator)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        let initial = Initial::Elements(self.initial_accumulator);
        vec![(FIRST_MOMENT, initial), (SECOND_MOMENT, initial)]
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut m, mut v] = state.handles([FIRST_MOMENT, SECOND_MOMENT]);
        average(&mut m, gradient, self.beta1)?;
        let square = gradient.f_mul(gradient)?;
        let sign = v.f_sub(&square)?.f_sign_()?;
        add_product(&mut v, &sign, &square, -(1.0 - self.beta2))?;
        let correction = bias_correction(self.beta2, state.steps()).sqrt();
        let denominator = v.f_sqrt()?.f_div_scalar_(correction)?.f_add_scalar_(self.epsilon)?;
        add_quotient(parameter, &m, &denominator, -lr / bias_correction(self.beta1, state.steps()))
    }
}

//! Adagrad.

use tch::{TchError, Tensor};

use crate::algorithm::check_not_negative;
use crate::in_place::{add_product, add_quotient};
use crate::state::SUM;
use crate::{Algorithm, Initial, OptimizerError, State, WeightDecay};

/// Adagrad: p ← p − lrₜ·g / (sqrt(Σg²) + ε), lrₜ = lr / (1 + (t−1)·η) (Duchi, Hazan & Singer, "Adaptive Subgradient
/// Methods for Online Learning and Stochastic Optimization"; `torch.optim.Adagrad`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// η, by which the learning rate falls.
    pub lr_decay: f64,
    /// What the sum Σg² starts from.
    pub initial_accumulator: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Coupled by default.
    pub weight_decay: WeightDecay,
}

impl Default for Adagrad {
    /// ε = 1e-10, the sum from zero, no decay of learning rate or weights.
    fn default() -> Self {
        Self { lr_decay: 0.0, initial_accumulator: 0.0, epsilon: 1e-10, weight_decay: WeightDecay::Coupled(0.0) }
    }
}

impl Algorithm for Adagrad {
    fn check(&self) -> Result<(), OptimizerError> {
        check_not_negative("lr_decay", self.lr_decay)?;
        check_not_negative("initial_accumulator", self.initial_accumulator)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn weight_decay(&self) -> WeightDecay {
        self.weight_decay
    }

    fn buffers(&self) -> Vec<(&'static str, Initial)> {
        vec![(SUM, Initial::Elements(self.initial_accumulator))]
    }

    fn update(&self, parameter: &mut Tensor, gradient: &Tensor, state: &State, lr: f64) -> Result<(), TchError> {
        let [mut sum] = state.handles([SUM]);
        add_product(&mut sum, gradient, gradient, 1.0)?;
        let denominator = sum.f_sqrt()?.f_add_scalar_(self.epsilon)?;
        let decayed_lr = lr / (1.0 + (state.steps() - 1) as f64 * self.lr_decay);
        add_quotient(parameter, gradient, &denominator, -decayed_lr)
    }
}

//! The second moments of Adam-family optimizers, element by element, and the critical ε they imply.
//!
//! The **critical epsilon** of an element is the ε at which ε's own share of the update's denominator equals the
//! gradient's share. It is the statistic of Silva & Rodriguez (arXiv 2311.11532) and generalises it: below the
//! critical ε of an element the step is adaptive, above it plain momentum.
//!
//! Moments are kept in `f32`, in the order of operations of the optimizers' PyTorch code, with the fused
//! multiply-add that PyTorch's CPU kernels use: `v.mul_(β2).addcmul_(g, g, value=1−β2)` is
//! `fma((1−β2)·g, g, β2·v)` here, on every processor. So a moment replayed from recorded gradients equals PyTorch's
//! to the last bit. (The square root taken at the end is correctly rounded here; PyTorch's vectorised one may be off
//! by one unit in the last place.)
//!
//! Slices in, values out: this crate has no dependencies and knows nothing of tensors or files.

use std::fmt;
use std::str::FromStr;

/// An optimizer whose denominator is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Optimizer {
    /// Adam, `AdamW`: sqrt(v̂) + ε; critical ε = sqrt(v / (1−β2^t)).
    Adam,
    /// RMSprop: sqrt(v) + ε, without bias correction; critical ε = sqrt(v).
    RmsProp,
    /// AdaBelief, which adds ε to its second moment s of g − m at every step; critical ε = (1−β2)·s / (1−β2^t).
    AdaBelief,
    /// AdaMomentum, which adds ε to its second moment s of m at every step; critical ε = (1−β2)·s / (1−β2^t).
    AdaMomentum,
}

/// A name that is no optimizer of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOptimizer(pub String);

impl fmt::Display for UnknownOptimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown optimizer {:?}: expected ", self.0)?;
        let names: Vec<&str> = Optimizer::ALL.iter().map(|optimizer| optimizer.name()).collect();
        write!(f, "one of {}", names.join(", "))
    }
}

impl std::error::Error for UnknownOptimizer {}

impl Optimizer {
    /// Every optimizer, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Adam, Self::RmsProp, Self::AdaBelief, Self::AdaMomentum];

    /// The name in commands, files and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::RmsProp => "rmsprop",
            Self::AdaBelief => "adabelief",
            Self::AdaMomentum => "adamomentum",
        }
    }

    /// The quantity under which files hold this optimizer's critical ε.
    pub fn quantity(self) -> String {
        format!("critical_epsilon.{}", self.name())
    }

    /// Whether the second moment depends on the gradients' signs.
    pub fn needs_signs(self) -> bool {
        matches!(self, Self::AdaBelief | Self::AdaMomentum)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = UnknownOptimizer;

    fn from_str(name: &str) -> Result<Self, UnknownOptimizer> {
        let named = Self::ALL.into_iter().find(|optimizer| optimizer.name() == name);
        named.ok_or_else(|| UnknownOptimizer(name.to_owned()))
    }
}

/// Decay rates of the moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Of the second moment, in `[0, 1)`; RMSprop calls it α.
    pub beta2: f64,
}

impl Default for Decay {
    /// 0.9 and 0.999, as in the paper's experiments, RMSprop's α included.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999 }
    }
}

/// The moments of one optimizer over the elements of one tensor, from zero.
///
/// # Examples
/// ```
/// use epsiloscope_moments::{Decay, Moments, Optimizer};
///
/// let mut moments = Moments::new(Optimizer::Adam, Decay::default(), 2);
/// for _step in 0..10 {
///     moments.update(0, &[1e-3, -2e-3]);
///     moments.end_step();
/// }
/// // A constant gradient's bias-corrected moment is the gradient itself.
/// let critical = moments.critical_epsilon();
/// assert!((critical[0] - 1e-3).abs() < 1e-9 && (critical[1] - 2e-3).abs() < 1e-9);
/// ```
#[derive(Clone, Debug)]
pub struct Moments {
    optimizer: Optimizer,
    decay: Decay,
    /// Steps ended, t in the formulas.
    steps: u64,
    /// m; empty for optimizers without one.
    first: Vec<f32>,
    /// v or s.
    second: Vec<f32>,
}

impl Moments {
    /// Moments of `numel` elements, all zero.
    pub fn new(optimizer: Optimizer, decay: Decay, numel: usize) -> Self {
        let first = if optimizer.needs_signs() { vec![0.0; numel] } else { Vec::new() };
        Self { optimizer, decay, steps: 0, first, second: vec![0.0; numel] }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// Elements.
    pub fn numel(&self) -> usize {
        self.second.len()
    }

    /// Steps ended so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The second moment of every element, not corrected for bias.
    pub fn second(&self) -> &[f32] {
        &self.second
    }

    /// Takes the gradients of elements `start..start + gradients.len()` at the present step.
    ///
    /// A step may come in several slices, each element once.
    ///
    /// # Panics
    /// If the slice reaches beyond the last element.
    pub fn update(&mut self, start: usize, gradients: &[f32]) {
        let range = start..start + gradients.len();
        let first = if self.first.is_empty() { &mut [][..] } else { &mut self.first[range.clone()] };
        kernel::update(self.optimizer, self.decay, first, &mut self.second[range], gradients);
    }

    /// Ends the present step.
    pub fn end_step(&mut self) {
        self.steps += 1;
    }

    /// The critical ε of every element after the steps taken so far (estimator of arXiv 2311.11532; see [`Optimizer`]).
    ///
    /// # Panics
    /// If no step has ended.
    pub fn critical_epsilon(&self) -> Vec<f32> {
        assert!(self.steps > 0, "no step has ended");
        let Decay { beta2, .. } = self.decay;
        let bias_correction = (1.0 - beta2.powf(self.steps as f64)) as f32;
        let in_place_share = (1.0 - beta2) as f32;
        let critical = |&second: &f32| match self.optimizer {
            Optimizer::Adam => (second / bias_correction).sqrt(),
            Optimizer::RmsProp => second.sqrt(),
            Optimizer::AdaBelief | Optimizer::AdaMomentum => in_place_share * second / bias_correction,
        };
        self.second.iter().map(critical).collect()
    }
}

mod kernel {
    //! One pass over the elements; compiled for FMA where the processor has it, with the same bits where it has not.

    use super::{Decay, Optimizer};

    pub(super) fn update(optimizer: Optimizer, decay: Decay, first: &mut [f32], second: &mut [f32], gradients: &[f32]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "calling a function compiled for AVX2 and FMA")]
            // SAFETY: the processor has both, as just checked.
            unsafe {
                update_fma(optimizer, decay, first, second, gradients);
            }
            return;
        }
        update_any(optimizer, decay, first, second, gradients);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn update_fma(optimizer: Optimizer, decay: Decay, first: &mut [f32], second: &mut [f32], gradients: &[f32]) {
        update_any(optimizer, decay, first, second, gradients);
    }

    #[inline(always)]
    fn update_any(optimizer: Optimizer, decay: Decay, first: &mut [f32], second: &mut [f32], gradients: &[f32]) {
        // Scalars are doubles until an operation on floats takes them, as in PyTorch.
        let (beta1, beta1_rest) = (decay.beta1 as f32, (1.0 - decay.beta1) as f32);
        let (beta2, beta2_rest) = (decay.beta2 as f32, (1.0 - decay.beta2) as f32);
        // v.mul_(β2).addcmul_(x, x, value=1−β2)
        let square = |v: f32, x: f32| (beta2_rest * x).mul_add(x, beta2 * v);
        // m.mul_(β1).add_(g, alpha=1−β1)
        let mean = |m: f32, g: f32| g.mul_add(beta1_rest, beta1 * m);
        match optimizer {
            Optimizer::Adam | Optimizer::RmsProp => {
                for (v, &g) in second.iter_mut().zip(gradients) {
                    *v = square(*v, g);
                }
            }
            Optimizer::AdaBelief => {
                for ((m, s), &g) in first.iter_mut().zip(second).zip(gradients) {
                    *m = mean(*m, g);
                    *s = square(*s, g - *m);
                }
            }
            Optimizer::AdaMomentum => {
                for ((m, s), &g) in first.iter_mut().zip(second).zip(gradients) {
                    *m = mean(*m, g);
                    *s = square(*s, *m);
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_compiled_variants_agree_to_the_last_bit() {
            let gradients: Vec<f32> = (1..1000).map(|i| ((i * 7919 % 1009) as f32 - 500.0) * 1e-5).collect();
            for optimizer in Optimizer::ALL {
                let state = || (vec![1e-3; gradients.len()], vec![1e-6; gradients.len()]);
                let ((mut m1, mut v1), (mut m2, mut v2)) = (state(), state());
                update(optimizer, Decay::default(), &mut m1, &mut v1, &gradients);
                update_any(optimizer, Decay::default(), &mut m2, &mut v2, &gradients);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!((bits(&m1), bits(&v1)), (bits(&m2), bits(&v2)), "{optimizer}");
            }
        }
    }
}

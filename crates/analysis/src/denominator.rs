//! What an optimizer divides its step by, from an element's critical ε c and a value of ε.
//!
//! The effective learning rate of an element is lr divided by it: what the optimizer multiplies m̂ by, or the gradient
//! where it has no first moment. It follows from the definition of c, the ε whose share of the denominator equals the
//! gradient's:
//!
//! | optimizer | denominator | since |
//! |---|---|---|
//! | Adam, AMSGrad, Yogi, RMSprop, Adagrad | c + ε | c is the root that ε is added to |
//! | the same with ε inside the root (TensorFlow's and Optax' RMSprop, Optax' `eps_root`) | sqrt(c + ε) | c is the moment |
//! | Keras' Adam | (c + ε) / sqrt(1−β2^t) | c = sqrt(v), corrected after ε is added |
//! | RAdam | (c + ε) / (r·sqrt(1−β2^t)) | c = sqrt(v), and r rectifies (Liu et al., arXiv 1908.03265); 1 before step 6 |
//! | AdaMomentum, EAdam | sqrt((c + ε) / (1−β2)) | ε·(1 + β2 + … + β2^(t−1)) has come into s, which corrected for bias is ε / (1−β2); c = (1−β2)·ŝ |
//! | AdaBelief | the same + ε | ε is added to the root once more (`adabelief-pytorch` 0.2.1, not rectified) |
//!
//! t is the step: where overflowed steps were skipped, RAdam's and Keras' factors are those of a few steps more.

use epsiloscope_moments::{Convention, Decay};

/// The denominator of one optimizer at one step, as a function of critical ε and ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denominator {
    /// Where ε stands.
    pub form: Form,
    /// What the quotient is multiplied by; `None` while the optimizer divides by nothing.
    pub factor: Option<f64>,
}

/// Where ε stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// c + ε
    Beside,
    /// sqrt((c + ε) / share), and ε beside the root if it is added `again`.
    Inside {
        /// 1−β2 where ε is added in place at every step, else 1.
        share: f64,
        /// Whether ε is added to the root as well.
        again: bool,
    },
}

impl Denominator {
    /// Of an optimizer after `step` steps.
    pub fn new(convention: Convention, decay: Decay, step: i64) -> Self {
        let rest = 1.0 - decay.beta2;
        let form = match convention.name() {
            "adabelief" => Form::Inside { share: rest, again: true },
            _ if convention.optimizer().degree() == 2 => Form::Inside { share: rest, again: false },
            _ if convention.is_inside_root() => Form::Inside { share: 1.0, again: false },
            _ => Form::Beside,
        };
        let correction = 1.0 - decay.beta2.powf(step as f64);
        let factor = match convention.name() {
            "radam" => rectification(decay.beta2, step).map(|rectification| rectification * correction.sqrt()),
            "keras-adam" => Some(correction.sqrt()),
            _ => Some(1.0),
        };
        Self { form, factor }
    }

    /// The gradient magnitude that an ε competes with: itself, or where it stands inside the root, the root of what
    /// accumulates there.
    pub fn competing_magnitude(self, epsilon: f64) -> f64 {
        match self.form {
            Form::Beside => epsilon,
            Form::Inside { share, .. } => (epsilon / share).sqrt(),
        }
    }

    /// Its value; grows with both.
    pub fn at(self, critical: f64, epsilon: f64) -> f64 {
        let Some(factor) = self.factor else { return 1.0 };
        let sum = match self.form {
            Form::Beside => critical + epsilon,
            Form::Inside { share, again } => ((critical + epsilon) / share).sqrt() + if again { epsilon } else { 0.0 },
        };
        sum / factor
    }
}

/// r, once the variance can be rectified.
fn rectification(beta2: f64, step: i64) -> Option<f64> {
    let t = step as f64;
    let (power, limit) = (beta2.powf(t), 2.0 / (1.0 - beta2) - 1.0);
    let rho = limit - 2.0 * t * power / (1.0 - power);
    let squared = (rho - 4.0) * (rho - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * rho);
    (5.0 < rho).then(|| squared.sqrt())
}

#[cfg(test)]
mod tests {
    use epsiloscope_moments::Optimizer;

    use super::*;

    #[test]
    fn radam_divides_by_nothing_at_first_and_by_adams_denominator_in_the_end() {
        let at = |step| Denominator::new(Optimizer::RAdam.into(), Decay::default(), step).at(1e-3, 1e-4);
        assert!((1..=5).all(|step| (at(step) - 1.0).abs() < f64::EPSILON));
        assert!((at(1_000_000) - 1.1e-3).abs() < 1e-9);
    }

    /// The definition of critical ε: there the gradient's share of what ε is added to is one half.
    #[test]
    fn at_the_critical_epsilon_the_sum_is_twice_its_own() {
        for convention in Convention::ALL {
            let denominator = Denominator::new(convention, Decay::default(), 1000);
            let ratio = denominator.at(1e-9, 1e-9) / denominator.at(1e-9, 0.0);
            let expected = if matches!(denominator.form, Form::Beside) { 2.0 } else { 2f64.sqrt() };
            assert!((ratio - expected).abs() < 1e-5, "{convention}: {ratio}");
        }
    }
}

//! The recursions against their closed form in `f64`: `m_t` = (1−β1)·Σ `β1^(t−k)·g_k`, and likewise for second moments.

use epsiloscope_moments::{Decay, Moments, Optimizer};
use proptest::collection::vec;
use proptest::prelude::*;

fn weighted_sum(beta: f64, values: impl DoubleEndedIterator<Item = f64>) -> f64 {
    (1.0 - beta) * values.rev().enumerate().map(|(age, value)| beta.powi(age as i32) * value).sum::<f64>()
}

fn first_moment(decay: Decay, gradients: &[f64]) -> f64 {
    weighted_sum(decay.beta1, gradients.iter().copied())
}

fn critical_epsilon(optimizer: Optimizer, decay: Decay, gradients: &[f64]) -> f64 {
    let corrected = 1.0 - decay.beta2.powi(gradients.len() as i32);
    let observed = |t: usize| match optimizer {
        Optimizer::Adam | Optimizer::RmsProp => gradients[t],
        Optimizer::AdaBelief => gradients[t] - first_moment(decay, &gradients[..=t]),
        Optimizer::AdaMomentum => first_moment(decay, &gradients[..=t]),
    };
    let second = weighted_sum(decay.beta2, (0..gradients.len()).map(|t| observed(t).powi(2)));
    match optimizer {
        Optimizer::Adam => (second / corrected).sqrt(),
        Optimizer::RmsProp => second.sqrt(),
        Optimizer::AdaBelief | Optimizer::AdaMomentum => (1.0 - decay.beta2) * second / corrected,
    }
}

proptest! {
    #[test]
    fn prop_replayed_moments_equal_their_closed_form(
        gradients in vec(-1.0f32..1.0, 1..60),
        beta1 in 0.5f64..0.95,
        beta2 in 0.9f64..0.9999,
    ) {
        let decay = Decay { beta1, beta2 };
        let doubles: Vec<f64> = gradients.iter().map(|&g| f64::from(g)).collect();
        for optimizer in Optimizer::ALL {
            let mut moments = Moments::new(optimizer, decay, 1);
            for gradient in &gradients {
                moments.update(0, std::slice::from_ref(gradient));
                moments.end_step();
            }
            let found = f64::from(moments.critical_epsilon()[0]);
            let expected = critical_epsilon(optimizer, decay, &doubles);
            // Rounding of g − m, whose terms may cancel, is absolute: 2^-24 of gradients below 1, squared with them.
            let absolute = if optimizer == Optimizer::AdaBelief { 1e-3 * 1e-6 } else { 1e-12 };
            prop_assert!((found - expected).abs() <= 1e-4 * expected + absolute, "{}: {} {}", optimizer, found, expected);
        }
    }

    #[test]
    fn prop_slices_of_a_step_may_come_apart(gradients in vec(-1.0f32..1.0, 1..200), cut in 0usize..200) {
        let cut = cut.min(gradients.len());
        for optimizer in Optimizer::ALL {
            let mut whole = Moments::new(optimizer, Decay::default(), gradients.len());
            let mut apart = whole.clone();
            for _step in 0..3 {
                whole.update(0, &gradients);
                whole.end_step();
                apart.update(cut, &gradients[cut..]);
                apart.update(0, &gradients[..cut]);
                apart.end_step();
            }
            prop_assert_eq!(whole.critical_epsilon(), apart.critical_epsilon());
        }
    }
}

#[test]
fn names_are_read_back_and_others_refused_with_the_list() {
    for optimizer in Optimizer::ALL {
        assert_eq!(optimizer.name().parse(), Ok(optimizer));
    }
    let message = "sgd".parse::<Optimizer>().unwrap_err().to_string();
    assert_eq!(message, "unknown optimizer \"sgd\": expected one of adam, rmsprop, adabelief, adamomentum");
}

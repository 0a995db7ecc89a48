//! Every recursion against its formula in `f64`: `m_t` = (1−β1)·Σ `β1^(t−k)·g_k`, and likewise for second moments.

use epsiloscope_moments::{Decay, Moments, Optimizer, State};
use proptest::collection::vec;
use proptest::prelude::*;

fn weighted_sum(beta: f64, values: impl DoubleEndedIterator<Item = f64>) -> f64 {
    (1.0 - beta) * values.rev().enumerate().map(|(age, value)| beta.powi(age as i32) * value).sum::<f64>()
}

fn mean_square(beta: f64, values: impl DoubleEndedIterator<Item = f64>) -> f64 {
    weighted_sum(beta, values.map(|value| value * value))
}

/// Yogi moves v towards g² by (1−β2)·g², whichever side it comes from.
fn yogi(beta: f64, gradients: &[f64]) -> f64 {
    gradients
        .iter()
        .map(|gradient| gradient * gradient)
        .fold(1e-6, |v, square| if v < square { v + (1.0 - beta) * square } else { v - (1.0 - beta) * square })
}

fn critical_epsilon(optimizer: Optimizer, decay: Decay, gradients: &[f64]) -> f64 {
    let Decay { beta1, beta2 } = decay;
    let corrected = 1.0 - beta2.powi(gradients.len() as i32);
    let plain = || gradients.iter().copied();
    let first = |t: usize| weighted_sum(beta1, gradients[..=t].iter().copied());
    let steps = || 0..gradients.len();
    match optimizer {
        Optimizer::Adam => (mean_square(beta2, plain()) / corrected).sqrt(),
        Optimizer::AmsGrad => {
            let max = steps().map(|t| mean_square(beta2, gradients[..=t].iter().copied())).fold(0.0, f64::max);
            (max / corrected).sqrt()
        }
        Optimizer::RAdam | Optimizer::RmsProp => mean_square(beta2, plain()).sqrt(),
        Optimizer::RmsPropCentered => (mean_square(beta2, plain()) - weighted_sum(beta2, plain()).powi(2)).sqrt(),
        Optimizer::AdaGrad => plain().map(|gradient| gradient * gradient).sum::<f64>().sqrt(),
        Optimizer::AdaBelief => {
            (1.0 - beta2) * mean_square(beta2, steps().map(|t| gradients[t] - first(t))) / corrected
        }
        Optimizer::AdaMomentum => (1.0 - beta2) * mean_square(beta2, steps().map(first)) / corrected,
        Optimizer::EAdam => (1.0 - beta2) * mean_square(beta2, plain()) / corrected,
        Optimizer::Yogi => (yogi(beta2, gradients) / corrected).sqrt(),
    }
}

/// Where terms of size 1 cancel their rounding stays, 2^-24 per operation: this much of it in critical ε.
fn absolute_error(optimizer: Optimizer, steps: usize) -> f64 {
    let rounding = 1e-7;
    match optimizer {
        Optimizer::AdaBelief => 1e-9,
        // A square root magnifies what is lost near zero.
        Optimizer::RmsPropCentered | Optimizer::Yogi => (steps as f64 * rounding).sqrt(),
        _ => 1e-12,
    }
}

proptest! {
    #[test]
    fn prop_replayed_moments_equal_their_formulas(
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
            let bound = 1e-4 * expected + absolute_error(optimizer, gradients.len());
            prop_assert!((found - expected).abs() <= bound, "{}: {} {}", optimizer, found, expected);
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
            prop_assert_eq!(&whole, &apart);
            let epsilons = whole.critical_epsilon();
            let mut some = vec![0.0; gradients.len() - cut];
            whole.critical_epsilon_into(cut..gradients.len(), &mut some);
            prop_assert_eq!(&epsilons[cut..], some);
        }
    }

    #[test]
    fn prop_restored_moments_go_on_as_if_nothing_had_happened(gradients in vec(-1.0f32..1.0, 2..50)) {
        for optimizer in Optimizer::ALL {
            let mut moments = Moments::new(optimizer, Decay { beta1: 0.8, beta2: 0.99 }, gradients.len());
            moments.update(0, &gradients);
            moments.end_step();
            let state = State {
                first: moments.first().to_vec(),
                second: moments.second().to_vec(),
                max: moments.max().to_vec(),
            };
            let mut restored = Moments::restore(optimizer, moments.decay(), moments.steps(), state).unwrap();
            for moments in [&mut moments, &mut restored] {
                moments.update(0, &gradients);
                moments.end_step();
            }
            prop_assert_eq!(moments, restored);
        }
    }
}

#[test]
fn a_state_of_other_moments_is_refused() {
    let state = State { first: vec![0.0; 3], second: vec![0.0; 3], max: Vec::new() };
    assert!(Moments::restore(Optimizer::AdaBelief, Decay::default(), 1, state.clone()).is_ok());
    let error = Moments::restore(Optimizer::AmsGrad, Decay::default(), 1, state).unwrap_err();
    assert_eq!(error.to_string(), "state of amsgrad has moments of [3, 3, 0] elements: expected [0, 3, 3]");
}

#[test]
fn a_maximum_hands_nan_on() {
    let mut moments = Moments::new(Optimizer::AmsGrad, Decay::default(), 1);
    for gradient in [1.0, f32::NAN, 1.0] {
        moments.update(0, &[gradient]);
        moments.end_step();
    }
    assert!(moments.max()[0].is_nan() && moments.critical_epsilon()[0].is_nan());
}

#[test]
fn names_are_read_back_and_others_refused_with_the_list() {
    for optimizer in Optimizer::ALL {
        assert_eq!(optimizer.name().parse(), Ok(optimizer));
    }
    assert!(Optimizer::ALL.is_sorted() && Optimizer::DEFAULT.is_sorted());
    let message = "sgd".parse::<Optimizer>().unwrap_err().to_string();
    let list = "adam, amsgrad, radam, rmsprop, rmsprop-centered, adagrad, adabelief, adamomentum, eadam, yogi";
    assert_eq!(message, format!("unknown optimizer \"sgd\": expected one of {list}"));
}

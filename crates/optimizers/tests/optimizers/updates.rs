//! What every update does to a parameter, where algebra says it.

use epsiloscope_optimizers::{AdaMomentum, Adam, Algorithm, EAdam, Optimizer, WeightDecay};
use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};
use tch::{Kind, Tensor};

use crate::common::{algorithms, bits, floats, gradient, step, store};

#[test]
fn every_algorithm_finds_the_minimum_of_a_quadratic() {
    for (algorithm, _) in algorithms() {
        let name = format!("{algorithm:?}");
        let (var_store, weight) = store(&[1.0, -0.5, 0.25]);
        let mut optimizer = Optimizer::new(algorithm, &var_store, 0.05).unwrap();
        for step in 0..2000 {
            optimizer.set_lr(0.05 / (1.0 + 0.01 * f64::from(step)).sqrt());
            optimizer.backward_step(&(&weight - 0.5).square().sum(Kind::Float)).unwrap();
        }
        let distance = (&weight - 0.5).abs().max().double_value(&[]);
        assert!(distance < 0.02, "{name}: {distance}");
    }
}

#[test]
fn a_large_epsilon_makes_adam_sgd_with_momentum() {
    let (lr, epsilon, beta1) = (10.0, 1e4, 0.9_f64);
    let (var_store, weight) = store(&[0.1; 5]);
    let mut optimizer = Adam { epsilon, ..Adam::default() }.build(&var_store, lr).unwrap();
    let mut m = [0.0; 5];
    for t in 1..=20 {
        let before = floats(&weight);
        step(&mut optimizer, &weight, &gradient(t));
        let (after, gradient) = (floats(&weight), gradient(t));
        for i in 0..5 {
            m[i] = beta1 * m[i] + (1.0 - beta1) * f64::from(gradient[i]);
            let update = -lr / epsilon * m[i] / (1.0 - beta1.powi(t as i32));
            // The parameter has 2^-24 of 0.1 as its last place.
            let found = f64::from(after[i]) - f64::from(before[i]);
            assert!((found - update).abs() < 1e-8 + 1e-5 * update.abs(), "step {t}: {found} for {update}");
        }
    }
}

#[test]
fn a_constant_gradient_in_place_leaves_epsilon_over_one_minus_beta2() {
    // s = EMA + ε/(1−β2) once bias correction is over, so a gradient of zero shows ε alone.
    for algorithm in [Box::new(EAdam::default()) as Box<dyn Algorithm>, Box::new(AdaMomentum::default())] {
        let (var_store, weight) = store(&[0.0]);
        let mut optimizer = Optimizer::new(algorithm, &var_store, 1e-3).unwrap();
        for _step in 0..100 {
            step(&mut optimizer, &weight, &[0.0]);
        }
        let state = optimizer.state("weight").unwrap();
        let s = state.buffer("second_moment").unwrap().double_value(&[0]);
        let corrected = s / (1.0 - 0.999_f64.powi(100));
        assert!((corrected / (1e-8 / 1e-3) - 1.0).abs() < 1e-4, "{corrected}");
    }
}

#[test]
fn gradients_are_clipped_and_made_undefined() {
    let (var_store, weight) = store(&[0.0, 0.0]);
    let mut optimizer = Adam::default().build(&var_store, 1e-2).unwrap();
    optimizer.clip_grad_norm(1.0);
    (&weight * Tensor::from_slice(&[3.0_f32, -4.0])).sum(Kind::Float).backward();
    optimizer.clip_grad_norm(1.0);
    let clipped = floats(&weight.grad());
    assert!((clipped[0] - 0.6).abs() < 1e-5 && (clipped[1] + 0.8).abs() < 1e-5, "{clipped:?}");
    optimizer.clip_grad_value(0.5);
    assert_eq!(floats(&weight.grad()), [0.5, -0.5]);
    optimizer.zero_grad();
    assert!(!weight.grad().defined());
    optimizer.step().unwrap();
    assert!(optimizer.state("weight").is_none());
}

#[test]
fn weight_decay_is_coupled_or_decoupled() {
    let decayed = |weight_decay| {
        let (var_store, weight) = store(&[2.0, -2.0]);
        let mut optimizer = Adam { weight_decay, ..Adam::default() }.build(&var_store, 0.1).unwrap();
        step(&mut optimizer, &weight, &[0.0, 0.0]);
        let state = optimizer.state("weight").unwrap();
        (floats(&weight), floats(state.buffer("first_moment").unwrap()))
    };
    // Coupled, w·p alone makes a first step of lr; decoupled, the parameter shrinks by lr·w and no moment sees it.
    let (weight, moment) = decayed(WeightDecay::Coupled(0.5));
    assert!((weight[0] - 1.9).abs() < 1e-6 && (weight[1] + 1.9).abs() < 1e-6, "{weight:?}");
    assert!((moment[0] - 0.1).abs() < 1e-6, "{moment:?}");
    assert_eq!(decayed(WeightDecay::Decoupled(0.5)), (vec![1.9, -1.9], vec![0.0, 0.0]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Elements do not see each other: a vector's step is its elements' steps.
    #[test]
    fn prop_a_step_is_elementwise(
        gradients in prop::collection::vec(prop::collection::vec(-1e3_f32..1e3, 3), 1..8),
        algorithm in 0..13_usize,
    ) {
        let trained = |elements: &[usize]| {
            let (var_store, weight) = store(&vec![0.5; elements.len()]);
            let mut optimizer = Optimizer::new(algorithms().swap_remove(algorithm).0, &var_store, 1e-2).unwrap();
            for gradient in &gradients {
                let gradient: Vec<f32> = elements.iter().map(|&element| gradient[element]).collect();
                step(&mut optimizer, &weight, &gradient);
            }
            bits(&weight)
        };
        let apart: Vec<u32> = (0..3).flat_map(|element| trained(&[element])).collect();
        prop_assert_eq!(trained(&[0, 1, 2]), apart);
    }

    /// Where ε is 0, Adam does not see the scale of gradients that are multiplied by a power of two.
    #[test]
    fn prop_without_epsilon_adam_is_scale_free(
        gradients in prop::collection::vec(0.5_f32..2.0, 1..20),
        exponent in -20..20_i32,
    ) {
        let trained = |scale: f32| {
            let (var_store, weight) = store(&[0.5]);
            let mut optimizer = Adam { epsilon: 0.0, ..Adam::default() }.build(&var_store, 1e-2).unwrap();
            for gradient in &gradients {
                step(&mut optimizer, &weight, &[gradient * scale]);
            }
            bits(&weight)
        };
        prop_assert_eq!(trained(1.0), trained(2.0_f32.powi(exponent)));
    }
}

//! What becomes of gradients that are tied, sparse, accumulated, scaled, clipped, or not of type `f32`.

use epsiloscope_format::{GRADIENT, Run};
use epsiloscope_moments::{Decay, Moments};
use epsiloscope_recorder::{CountOn, MagnitudePolicy, Optimizer, Recorder, RecorderBuilder, StepInfo};
use tch::nn::{self, EmbeddingConfig, Module, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{
    assert_same_recording, bits, floats, give_gradient, histogram_of, network, parameters, random_loss,
    recorded_histograms, recorded_steps, recorded_values, settings, torch,
};

fn recording_all(var_store: &VarStore) -> RecorderBuilder<'_> {
    Recorder::builder(var_store, settings()).magnitudes(MagnitudePolicy::All)
}

fn gradient_key(step: i64, tensor: &str) -> (i64, String, String) {
    (step, tensor.to_owned(), GRADIENT.to_owned())
}

#[test]
fn a_tensor_of_two_names_is_recorded_once_under_the_first() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let embedding = var_store.root().randn("embedding", &[5, 3], 0.0, 1.0);
    let tied = embedding.shallow_clone();
    var_store.variables_.lock().unwrap().named_variables.insert("decoder".to_owned(), tied);
    let mut recorder = recording_all(&var_store).start(&run_dir).unwrap();
    // Used twice, so that its gradient has two terms.
    embedding.matmul(&embedding.transpose(0, 1)).sum(Kind::Float).backward();
    recorder.step(&StepInfo::default());
    recorder.finish().unwrap();

    let names: Vec<String> =
        Run::open(&run_dir).unwrap().manifest().tensors.iter().map(|tensor| tensor.name.clone()).collect();
    assert_eq!(names, ["decoder"]);
    let values: Vec<f32> =
        recorded_values(&run_dir)[&gradient_key(1, "decoder")].iter().map(|&(_, value)| value).collect();
    assert_eq!(values, floats(&embedding.grad()));
}

#[test]
fn steps_while_everything_is_frozen_are_recorded_without_observations() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let mut var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut recorder = recording_all(&var_store).start(&run_dir).unwrap();
    for step in 1..=6 {
        if step == 3 {
            var_store.freeze();
        } else if step == 5 {
            var_store.unfreeze();
        }
        let loss = random_loss(&model);
        if loss.requires_grad() {
            loss.backward();
        }
        recorder.step(&StepInfo { snapshot: step == 6, ..StepInfo::default() });
    }
    recorder.finish().unwrap();
    assert_eq!(recorded_steps(&run_dir).0, [1, 2, 3, 4, 5, 6]);
    let values = recorded_values(&run_dir);
    let mut moments = Moments::new(Optimizer::Adam, Decay { beta1: 0.9, beta2: 0.99 }, 16);
    for step in 1..=6 {
        let values = values.get(&gradient_key(step, "first.bias"));
        assert_eq!(values.is_some(), ![3, 4].contains(&step), "step {step}");
        if let Some(values) = values {
            moments.update(0, &values.iter().map(|&(_, value)| value).collect::<Vec<f32>>());
            moments.end_step();
        }
    }
    let key = (6, "first.bias".to_owned(), Optimizer::Adam.quantity());
    assert_eq!(recorded_histograms(&run_dir)[&key], histogram_of(&moments.critical_epsilon()));
}

#[test]
fn sparse_gradients_are_those_of_the_dense_equivalent() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let record = |sparse: bool, count_on: CountOn, name: &str| {
        tch::manual_seed(3);
        let var_store = VarStore::new(Device::Cpu);
        let config = EmbeddingConfig { sparse, ..EmbeddingConfig::default() };
        let embedding = nn::embedding(var_store.root() / "words", 50, 7, config);
        let builder = recording_all(&var_store).coupled_weight_decay(1e-2).count_on(count_on);
        let mut recorder = builder.start(&dir.path().join(name)).unwrap();
        for step in 1..=4 {
            embedding.ws.shallow_clone().zero_grad();
            // Words that occur twice have several entries of the same index.
            let words = Tensor::from_slice(&[3_i64, 9, 3, 41, 9, 3]);
            let weights = Tensor::randn([6, 7], (Kind::Float, Device::Cpu));
            (embedding.forward(&words) * weights).sum(Kind::Float).backward();
            recorder.step(&StepInfo { snapshot: step == 4, ..StepInfo::default() });
            assert_eq!(embedding.ws.grad().is_sparse(), sparse, "the gradient itself stays what it is");
        }
        recorder.finish().unwrap();
        dir.path().join(name)
    };
    for count_on in [CountOn::Host, CountOn::Device] {
        let dense = record(false, count_on, &format!("dense-{count_on:?}"));
        let sparse = record(true, count_on, &format!("sparse-{count_on:?}"));
        assert_same_recording(&dense, &sparse);
    }
}

#[test]
fn accumulated_and_clipped_gradients_are_one_row_per_optimizer_step() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut optimizer = nn::Sgd::default().build(&var_store, 1e-2).unwrap();
    let mut recorder = recording_all(&var_store).accumulated_batches(3).clipped(true).start(&run_dir).unwrap();
    let mut expected = Vec::new();
    for _step in 0..2 {
        optimizer.zero_grad();
        for _batch in 0..3 {
            (random_loss(&model) / 3.0).backward();
        }
        optimizer.clip_grad_norm(1e-3);
        recorder.step(&StepInfo::default());
        expected.push(floats(&parameters(&var_store)["first.weight"].grad()));
        optimizer.step();
    }
    recorder.finish().unwrap();
    assert_eq!(recorded_steps(&run_dir).0, [1, 2]);
    let values = recorded_values(&run_dir);
    for (step, expected) in (1..).zip(&expected) {
        let values: Vec<f32> = values[&gradient_key(step, "first.weight")].iter().map(|&(_, value)| value).collect();
        assert_eq!(&values, expected);
        assert!(values.iter().all(|value| value.abs() <= 1e-3), "clipped");
    }
    let gradient = Run::open(&run_dir).unwrap().manifest().gradient;
    assert!((gradient.accumulated_batches, gradient.clipped, gradient.unscaled) == (3, true, false));
}

/// Gives the same gradients times a loss scale; at step 3 they are not finite.
fn record_scaled(run_dir: &std::path::Path, scale: Option<f64>, count_on: CountOn) {
    tch::manual_seed(11);
    let var_store = VarStore::new(Device::Cpu);
    let parameter = var_store.root().randn("p", &[300], 0.0, 1.0);
    let builder = recording_all(&var_store).coupled_weight_decay(0.1).count_on(count_on);
    let builder = builder.critical_epsilon(&Optimizer::ALL).snapshot_elements(true);
    let mut recorder = builder.scaled_gradients(scale.is_some()).start(run_dir).unwrap();
    for step in 1..=5 {
        let mut gradient = Tensor::randn([300], (Kind::Float, Device::Cpu)) * 1e-3;
        if step == 3 {
            gradient *= f64::INFINITY;
        }
        give_gradient(&parameter, &(gradient * scale.unwrap_or(1.0)));
        let loss_scale = Some(scale.unwrap_or(1.0));
        recorder.step(&StepInfo { loss_scale, snapshot: step >= 3, ..StepInfo::default() });
    }
    recorder.finish().unwrap();
}

#[test]
fn a_known_loss_scale_is_divided_out_and_an_overflow_moves_no_moment() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    for count_on in [CountOn::Host, CountOn::Device] {
        let (plain, scaled) =
            (dir.path().join(format!("{count_on:?}")), dir.path().join(format!("scaled{count_on:?}")));
        record_scaled(&plain, None, count_on);
        record_scaled(&scaled, Some(1024.0), count_on);
        assert_same_recording(&plain, &scaled);
        let manifest = Run::open(&scaled).unwrap().manifest().clone();
        assert!(manifest.gradient.unscaled && !Run::open(&plain).unwrap().manifest().gradient.unscaled);
        assert_eq!(recorded_steps(&scaled), (vec![1, 2, 3, 4, 5], vec![3]));

        let values = recorded_values(&scaled);
        assert!(recorded_histograms(&scaled)[&gradient_key(3, "p")].1[2] > 0, "infinities are counted");
        let mut skipping = Moments::new(Optimizer::AdaBelief, Decay { beta1: 0.9, beta2: 0.99 }, 300);
        for step in [1, 2, 4] {
            let gradient: Vec<f32> = values[&gradient_key(step, "p")].iter().map(|&(_, value)| value).collect();
            skipping.update(0, &gradient);
            skipping.end_step();
            let key = (3.max(step), "p".to_owned(), Optimizer::AdaBelief.quantity());
            if step > 1 {
                assert_close(&values[&key], &skipping.critical_epsilon());
            }
        }
    }
}

fn assert_close(values: &[(i64, f32)], expected: &[f32]) {
    assert_eq!(values.len(), expected.len());
    for (&(element, value), expected) in values.iter().zip(expected) {
        assert!(value.to_bits().abs_diff(expected.to_bits()) <= 1, "element {element}: {value:e} against {expected:e}");
    }
}

#[test]
fn what_the_loop_says_of_an_overflow_is_taken_for_granted() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let parameter = var_store.root().ones("p", &[1]);
    let builder = recording_all(&var_store).critical_epsilon(&[Optimizer::AdaGrad]).snapshot_elements(true);
    let mut recorder = builder.start(&run_dir).unwrap();
    for (value, overflow) in [(3.0, None), (5.0, Some(true)), (4.0, Some(false))] {
        give_gradient(&parameter, &Tensor::from(value));
        recorder.step(&StepInfo { overflow, snapshot: true, ..StepInfo::default() });
    }
    recorder.finish().unwrap();
    assert_eq!(recorded_steps(&run_dir).1, [2]);
    let values = recorded_values(&run_dir);
    let critical = |step| values[&(step, "p".to_owned(), Optimizer::AdaGrad.quantity())][0].1;
    assert_eq!([critical(1), critical(2), critical(3)], [3.0, 3.0, 5.0]);
}

#[test]
fn every_type_of_float_is_recorded_as_the_f32_that_it_is_or_is_next_to() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    tch::manual_seed(2);
    // From below the least subnormal of `f16` to beyond its greatest number.
    let decades = Tensor::rand([500], (Kind::Double, Device::Cpu)) * 18.0 - 11.0;
    let gradient = (decades * std::f64::consts::LN_10).exp() * Tensor::randn([500], (Kind::Double, Device::Cpu)).sign();
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double] {
        for count_on in [CountOn::Host, CountOn::Device] {
            let run_dir = dir.path().join(format!("{kind:?}-{count_on:?}"));
            let mut var_store = VarStore::new(Device::Cpu);
            let parameter = var_store.root().ones("p", &[20, 25]);
            var_store.set_kind(kind);
            let mut recorder = recording_all(&var_store).count_on(count_on).start(&run_dir).unwrap();
            let of_kind = gradient.to_kind(kind).view([20, 25]);
            give_gradient(&parameter, &of_kind);
            recorder.step(&StepInfo::default());
            recorder.finish().unwrap();
            let expected = floats(&of_kind.to_kind(Kind::Float));
            let values: Vec<f32> = recorded_values(&run_dir)[&gradient_key(1, "p")].iter().map(|&(_, v)| v).collect();
            assert_eq!(
                bits(&values),
                bits(&expected.iter().map(|value| value + 0.0).collect::<Vec<f32>>()),
                "{kind:?}"
            );
            assert_eq!(recorded_histograms(&run_dir)[&gradient_key(1, "p")], histogram_of(&expected), "{kind:?}");
        }
    }
}

/// A loss scale is there because a gradient of half the width would vanish without.
#[test]
fn scaled_gradients_of_half_the_width_are_unscaled_in_full() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    for kind in [Kind::Half, Kind::BFloat16] {
        let run_dir = dir.path().join(format!("{kind:?}"));
        let mut var_store = VarStore::new(Device::Cpu);
        let parameter = var_store.root().ones("p", &[3]);
        var_store.set_kind(kind);
        let mut recorder = recording_all(&var_store).scaled_gradients(true).start(&run_dir).unwrap();
        // Divided by the scale, `f16` would round the first to zero and the last to another number.
        let scaled = [2_f32.powi(-12), -0.5, 3.0 * 2_f32.powi(-9)];
        give_gradient(&parameter, &Tensor::from_slice(&scaled));
        recorder.step(&StepInfo { loss_scale: Some(65536.0), ..StepInfo::default() });
        recorder.finish().unwrap();
        let expected = scaled.map(|value| value / 65536.0);
        let values = &recorded_values(&run_dir)[&gradient_key(1, "p")];
        assert_eq!(values[..], [(0, expected[0]), (1, expected[1]), (2, expected[2])], "{kind:?}");
    }
}

#[test]
fn tensors_without_dimensions_or_elements_are_recorded() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    for count_on in [CountOn::Host, CountOn::Device] {
        let run_dir = dir.path().join(format!("{count_on:?}"));
        let var_store = VarStore::new(Device::Cpu);
        let point = var_store.root().ones("point", &[]);
        let empty = var_store.root().ones("empty", &[0, 3]);
        let _also_empty = var_store.root().ones("nothing", &[0]);
        let builder = recording_all(&var_store).count_on(count_on).snapshot_elements(true);
        let mut recorder = builder.start(&run_dir).unwrap();
        (&point * 2.0 + empty.sum(Kind::Float)).backward();
        recorder.step(&StepInfo { snapshot: true, ..StepInfo::default() });
        recorder.finish().unwrap();
        assert_eq!(recorded_values(&run_dir)[&gradient_key(1, "point")], [(0, 2.0)]);
        let names: Vec<(String, u64)> = Run::open(&run_dir)
            .unwrap()
            .manifest()
            .tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.numel()))
            .collect();
        let expected = [("empty", 0), ("nothing", 0), ("point", 1)].map(|(name, numel)| (name.to_owned(), numel));
        assert_eq!(names, expected);
    }
}

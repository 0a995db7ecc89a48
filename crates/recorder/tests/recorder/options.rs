//! What each option of the builder records, and that moments take every step whatever is recorded.

use std::collections::BTreeSet;
use std::path::Path;

use epsiloscope_format::{GRADIENT, Run, StepRange, Table};
use epsiloscope_moments::{Decay, Moments};
use epsiloscope_recorder::{MagnitudePolicy, Optimizer, Recorder, RecorderBuilder, RecorderError, StepInfo};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{
    bits, floats, give_gradient, histogram_of, recorded_histograms, recorded_scalars, recorded_steps, recorded_values,
    settings, torch,
};

const N_STEPS: i64 = 12;
const NAMES: [&str; 4] = ["conv1.bias", "conv1.weight", "head.bias", "head.weight"];

type Options = fn(RecorderBuilder<'_>) -> RecorderBuilder<'_>;

/// The gradient of a tensor at a step.
fn gradient(tensor: usize, step: i64) -> Tensor {
    tch::manual_seed(step * 10 + tensor as i64);
    Tensor::randn([40], (Kind::Float, Device::Cpu)) * 1e-3
}

/// Records the gradients with snapshots at some steps.
fn record(run_dir: &Path, snapshots: &[i64], options: impl FnOnce(RecorderBuilder<'_>) -> RecorderBuilder<'_>) {
    let var_store = VarStore::new(Device::Cpu);
    let parameters = NAMES.map(|name| {
        let (layer, parameter) = name.split_once('.').unwrap();
        (var_store.root() / layer).zeros(parameter, &[40])
    });
    let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::All);
    let mut recorder = options(builder).start(run_dir).unwrap();
    for step in 1..=N_STEPS {
        for (index, parameter) in parameters.iter().enumerate() {
            give_gradient(parameter, &gradient(index, step));
        }
        let step_loss = 1.0 / step as f64;
        recorder.step(&StepInfo {
            epoch: Some(2),
            loss: Some(step_loss),
            learning_rate: Some(0.5),
            snapshot: snapshots.contains(&step),
            scalars: &[("norm", step_loss * 2.0)],
            ..StepInfo::default()
        });
        if step % 6 == 0 {
            recorder.scalars(&[("accuracy", 0.75)]);
        }
    }
    recorder.finish().unwrap();
}

/// The moments of the second tensor after every step up to this one.
fn moments(optimizer: Optimizer, through: i64) -> Moments {
    let mut moments = Moments::new(optimizer, Decay { beta1: 0.9, beta2: 0.99 }, 40);
    for step in 1..=through {
        moments.update(0, &floats(&gradient(1, step)));
        moments.end_step();
    }
    moments
}

fn critical_key(optimizer: Optimizer, step: i64) -> (i64, String, String) {
    (step, NAMES[1].to_owned(), optimizer.quantity())
}

#[test]
fn magnitudes_without_signs_are_absolute_values() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    record(&run_dir, &[], |builder| builder.signs(false));
    assert!(!Run::open(&run_dir).unwrap().manifest().signs);
    let values: Vec<f32> =
        recorded_values(&run_dir)[&(3, NAMES[0].to_owned(), GRADIENT.to_owned())].iter().map(|&(_, v)| v).collect();
    assert_eq!(values, floats(&gradient(0, 3).abs()));
}

#[test]
fn a_thinned_recording_holds_its_steps_and_snapshots_and_its_moments_take_all() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let thinned: [(Options, &[i64]); 3] = [
        (|builder| builder.every(5), &[1, 6, 8, 11]),
        (|builder| builder.steps(2, Some(3)).steps(10, None), &[2, 3, 8, 10, 11, 12]),
        (|builder| builder.every(2).steps(4, Some(7)), &[4, 6, 8]),
    ];
    for (index, (options, steps)) in thinned.into_iter().enumerate() {
        let run_dir = dir.path().join(index.to_string());
        record(&run_dir, &[8], options);
        assert_eq!(recorded_steps(&run_dir).0, steps);
        let recorded: BTreeSet<i64> = recorded_values(&run_dir).into_keys().map(|key| key.0).collect();
        assert!(recorded.iter().eq(steps));
        let histograms = recorded_histograms(&run_dir);
        for optimizer in Optimizer::DEFAULT {
            let expected = histogram_of(&moments(optimizer, 8).critical_epsilon());
            assert_eq!(histograms[&critical_key(optimizer, 8)], expected, "{optimizer}");
        }
        assert!(Run::open(&run_dir).unwrap().missing_steps().unwrap().is_empty());
    }
    let cadence = Run::open(&dir.path().join("2")).unwrap().manifest().cadence.clone();
    assert_eq!((cadence.every, cadence.ranges), (2, vec![StepRange { first: 4, last: Some(7) }]));
}

#[test]
fn patterns_choose_tensors() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let chosen: [(Options, &[&str]); 3] = [
        (|builder| builder.exclude("*.bias"), &[NAMES[1], NAMES[3]]),
        (|builder| builder.include("conv?.*"), &[NAMES[0], NAMES[1]]),
        (|builder| builder.include("conv?.*").include("head.*").exclude("*.weight"), &[NAMES[0], NAMES[2]]),
    ];
    for (index, (options, names)) in chosen.into_iter().enumerate() {
        let run_dir = dir.path().join(index.to_string());
        record(&run_dir, &[], options);
        let run = Run::open(&run_dir).unwrap();
        assert!(run.manifest().tensors.iter().map(|tensor| tensor.name.as_str()).eq(names.iter().copied()));
        let recorded: BTreeSet<String> = recorded_values(&run_dir).into_keys().map(|key| key.1).collect();
        assert!(recorded.iter().eq(names));
    }
    let var_store = VarStore::new(Device::Cpu);
    let _parameter = var_store.root().zeros("p", &[1]);
    let start = |pattern: &str| {
        Recorder::builder(&var_store, settings())
            .include(pattern)
            .start(&dir.path().join("none"))
            .map(drop)
            .unwrap_err()
    };
    assert!(start("q*").to_string().ends_with("patterns that match some of its names"));
    assert!(matches!(start("q["), RecorderError::Pattern { .. }));
}

#[test]
fn critical_epsilons_are_binned_at_every_step_if_asked_for() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    record(&run_dir, &[], |builder| builder.critical_epsilon_every_step(true).histograms(false));
    let histograms = recorded_histograms(&run_dir);
    for optimizer in Optimizer::DEFAULT {
        for step in 1..=N_STEPS {
            let expected = histogram_of(&moments(optimizer, step).critical_epsilon());
            assert_eq!(histograms[&critical_key(optimizer, step)], expected, "{optimizer}, step {step}");
        }
    }
    let gradient = &histograms[&(1, NAMES[1].to_owned(), GRADIENT.to_owned())];
    assert!(gradient.0.is_empty(), "gradient histograms are off");
}

#[test]
fn snapshots_hold_the_critical_epsilon_of_every_element_if_asked_for() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let snapshots = [1, 7, N_STEPS];
    record(&run_dir, &snapshots, |builder| {
        builder.magnitudes(MagnitudePolicy::None).snapshot_elements(true).critical_epsilon(&Optimizer::ALL)
    });
    let values = recorded_values(&run_dir);
    assert_eq!(values.len(), NAMES.len() * snapshots.len() * Optimizer::ALL.len());
    for optimizer in Optimizer::ALL {
        for step in snapshots {
            let expected = moments(optimizer, step).critical_epsilon();
            let (elements, values): (Vec<i64>, Vec<f32>) =
                values[&critical_key(optimizer, step)].iter().copied().unzip();
            assert!(elements.into_iter().eq(0..40));
            // What is no number has one form in a file.
            let canonical = |values: &[f32]| {
                bits(values)
                    .into_iter()
                    .map(|bits| if f32::from_bits(bits).is_nan() { 0x7fc0_0000 } else { bits })
                    .collect::<Vec<u32>>()
            };
            assert_eq!(canonical(&values), canonical(&expected), "{optimizer}, step {step}");
        }
    }
}

#[test]
fn scalars_and_labels_are_what_the_loop_said() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    record(&run_dir, &[], |builder| builder.label("model", "two layers").label("seed", "7").every(4));
    let norms = [1.0, 5.0, 9.0].map(|step: f64| (step as i64, "norm".to_owned(), 2.0 / step));
    let accuracies = [6, 12].map(|step| (step, "accuracy".to_owned(), 0.75));
    let mut expected = [&norms[..], &accuracies[..]].concat();
    expected.sort_by_key(|&(step, ..)| step);
    assert_eq!(recorded_scalars(&run_dir), expected);
    let run = Run::open(&run_dir).unwrap();
    let labels = &run.manifest().labels;
    assert_eq!((labels["model"].as_str(), labels["seed"].as_str()), ("two layers", "7"));
    let steps = run.steps().next().unwrap().unwrap();
    assert_eq!((steps.epoch.value(1), steps.loss.value(1), steps.learning_rate.value(1)), (2, 0.2, 0.5));
    assert_eq!(run.parts(Table::Scalars).map(|part| part.rows).sum::<u64>(), 5);
}

//! What is recorded of a small real network, against what the test saw of it.

use std::collections::{BTreeMap, BTreeSet};

use epsiloscope_format::{GRADIENT, Run, Status, Table};
use epsiloscope_moments::{Decay, Moments};
use epsiloscope_recorder::{MagnitudePolicy, Mode, Optimizer, Recorder, StepInfo};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{
    bits, floats, histogram_of, network, parameters, random_loss, recorded_histograms, recorded_values, settings, torch,
};

const N_STEPS: i64 = 30;

/// The gradients of every step, by tensor.
type Gradients = Vec<BTreeMap<String, Vec<f32>>>;

/// Trains from a fixed seed; the recorder, if any, is made by `start`. Returns parameters, gradients and a number drawn
/// afterwards.
fn train(start: impl FnOnce(&VarStore) -> Option<Recorder>) -> (BTreeMap<String, Vec<u32>>, Gradients, f64) {
    tch::manual_seed(17);
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-2).unwrap();
    let mut recorder = start(&var_store);
    let mut gradients = Gradients::new();
    for step in 1..=N_STEPS {
        optimizer.zero_grad();
        let loss = random_loss(&model);
        loss.backward();
        if let Some(recorder) = &mut recorder {
            recorder.step(&StepInfo {
                loss: Some(loss.double_value(&[])),
                snapshot: step % 10 == 0,
                ..StepInfo::default()
            });
        }
        // Read after the recorder, so that a change to a gradient would show.
        let named = parameters(&var_store).into_iter();
        gradients.push(named.map(|(name, parameter)| (name, floats(&parameter.grad()))).collect());
        optimizer.step();
    }
    if let Some(recorder) = recorder {
        recorder.finish().unwrap();
    }
    let parameters = parameters(&var_store).into_iter().map(|(name, tensor)| (name, bits(&floats(&tensor)))).collect();
    (parameters, gradients, Tensor::randn([1], (Kind::Double, Device::Cpu)).double_value(&[0]))
}

#[test]
fn training_is_the_same_to_the_last_bit_with_and_without_recorder() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let plain = train(|_| None);
    let recorded = train(|var_store| {
        let builder = Recorder::builder(var_store, settings()).coupled_weight_decay(1e-3);
        Some(builder.start(&dir.path().join("run")).unwrap())
    });
    assert!(plain == recorded);
}

#[test]
fn all_recorded_values_are_the_gradients() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let (_, gradients, _) = train(|var_store| {
        let builder = Recorder::builder(var_store, settings()).magnitudes(MagnitudePolicy::All);
        Some(builder.label("model", "mlp").start(&run_dir).unwrap())
    });
    let (values, histograms) = (recorded_values(&run_dir), recorded_histograms(&run_dir));
    assert_eq!(values.len(), 4 * N_STEPS as usize);
    for (index, named) in gradients.iter().enumerate() {
        for (name, gradient) in named {
            let key = (index as i64 + 1, name.clone(), GRADIENT.to_owned());
            // Zeros have lost their sign.
            let signed: Vec<(i64, f32)> = (0..).zip(gradient.iter().map(|&value| value + 0.0)).collect();
            assert_eq!(values[&key], signed, "{key:?}");
            assert_eq!(histograms[&key], histogram_of(gradient), "{key:?}");
        }
    }
    let run = Run::open(&run_dir).unwrap();
    assert!(run.is_finished());
    let manifest = run.manifest();
    assert_eq!((manifest.mode, manifest.labels["model"].as_str()), (Mode::Monitoring, "mlp"));
    assert!(manifest.software.framework.starts_with("libtorch 2."), "{}", manifest.software.framework);
    let names: Vec<&str> = manifest.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["first.bias", "first.weight", "second.bias", "second.weight"]);
    assert_eq!((&manifest.tensors[1].shape[..], manifest.tensors[1].recorded_elements), (&[16, 20][..], 320));
}

#[test]
fn a_sample_is_the_same_elements_at_every_step() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let policy = MagnitudePolicy::Sample { elements_per_tensor: 10, seed: 3 };
    let (_, gradients, _) = train(|var_store| {
        Some(Recorder::builder(var_store, settings()).magnitudes(policy).histograms(false).start(&run_dir).unwrap())
    });
    let values = recorded_values(&run_dir);
    let mut elements: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for ((step, tensor, _), sample) in &values {
        let gradient = &gradients[*step as usize - 1][tensor];
        assert_eq!(sample.len(), gradient.len().min(10));
        assert!(sample.iter().all(|&(element, value)| value == gradient[element as usize]), "step {step}, {tensor}");
        let drawn: Vec<i64> = sample.iter().map(|&(element, _)| element).collect();
        assert!(drawn.is_sorted_by(|a, b| a < b));
        assert_eq!(elements.entry(tensor).or_insert_with(|| drawn.clone()), &drawn, "step {step}, {tensor}");
    }
    let run = Run::open(&run_dir).unwrap();
    let manifest = run.manifest();
    assert_eq!((manifest.magnitudes, manifest.histograms), (policy, false));
    // Critical epsilons are binned all the same.
    let quantities: BTreeSet<u32> = run.histograms().flat_map(|batch| batch.unwrap().quantity).collect();
    let names: Vec<&str> = quantities.iter().map(|&index| manifest.quantities[index as usize].as_str()).collect();
    assert!(!names.contains(&GRADIENT) && names.len() == Optimizer::DEFAULT.len(), "{names:?}");
}

#[test]
fn no_magnitudes_and_no_critical_epsilon_if_none_is_asked_for() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    train(|var_store| {
        let builder = Recorder::builder(var_store, settings()).magnitudes(MagnitudePolicy::None).critical_epsilon(&[]);
        Some(builder.start(&run_dir).unwrap())
    });
    let run = Run::open(&run_dir).unwrap();
    assert_eq!(run.manifest().quantities, [GRADIENT]);
    assert_eq!(run.parts(Table::Magnitudes).count(), 0);
    assert_eq!(recorded_histograms(&run_dir).len(), 4 * N_STEPS as usize);
}

/// The moments of an optimizer as libtorch's own operations compute them.
struct TorchMoments {
    optimizer: Optimizer,
    decay: Decay,
    first: Tensor,
    second: Tensor,
    max: Tensor,
}

impl TorchMoments {
    fn new(optimizer: Optimizer, decay: Decay, numel: usize) -> Self {
        let zeros = || Tensor::zeros([numel as i64], (Kind::Float, Device::Cpu));
        let second = if optimizer == Optimizer::Yogi { zeros() + 1e-6 } else { zeros() };
        Self { optimizer, decay, first: zeros(), second, max: zeros() }
    }

    /// `x.mul_(β).addcmul_(a, b)`; tch leaves out the factor `value`, so it stands in `a`, rounded as there.
    fn accumulate(moment: &mut Tensor, beta: f64, a: &Tensor, b: &Tensor) {
        let _ = moment.g_mul_scalar_(beta).addcmul_(a, b);
    }

    fn update(&mut self, gradient: &Tensor) {
        let Decay { beta1, beta2 } = self.decay;
        match self.optimizer {
            Optimizer::RmsPropCentered => self.first = self.first.lerp(gradient, 1.0 - beta2),
            _ => Self::accumulate(&mut self.first, beta1, gradient, &Tensor::from((1.0 - beta1) as f32)),
        }
        let counted = match self.optimizer {
            Optimizer::AdaBelief => gradient - &self.first,
            Optimizer::AdaMomentum => self.first.shallow_clone(),
            _ => gradient.shallow_clone(),
        };
        let squares = &counted * &counted;
        match self.optimizer {
            Optimizer::AdaGrad => self.second = self.second.addcmul(&counted, &counted),
            Optimizer::Yogi => {
                let signs = (&self.second - &squares).sign();
                self.second = self.second.addcmul(&(signs * (beta2 - 1.0)), &squares);
            }
            _ => Self::accumulate(&mut self.second, beta2, &(&counted * (1.0 - beta2)), &counted),
        }
        self.max = self.max.maximum(&self.second);
    }

    fn critical_epsilon(&self, steps: i32) -> Tensor {
        let Decay { beta2, .. } = self.decay;
        let correction = 1.0 - beta2.powi(steps);
        match self.optimizer {
            Optimizer::Adam | Optimizer::Yogi => (&self.second / correction).sqrt(),
            Optimizer::AmsGrad => (&self.max / correction).sqrt(),
            Optimizer::RAdam | Optimizer::RmsProp | Optimizer::AdaGrad => self.second.sqrt(),
            Optimizer::RmsPropCentered => self.second.addcmul(&self.first, &-&self.first).sqrt(),
            Optimizer::AdaBelief | Optimizer::AdaMomentum | Optimizer::EAdam => {
                &self.second * (1.0 - beta2) / correction
            }
        }
    }
}

#[test]
fn snapshots_are_the_critical_epsilons_that_libtorch_computes() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let (_, gradients, _) = train(|var_store| {
        Some(Recorder::builder(var_store, settings()).critical_epsilon(&Optimizer::ALL).start(&run_dir).unwrap())
    });
    let histograms = recorded_histograms(&run_dir);
    let decay = Decay { beta1: 0.9, beta2: 0.99 };
    for optimizer in Optimizer::ALL {
        for name in gradients[0].keys() {
            let numel = gradients[0][name].len();
            let mut torch = TorchMoments::new(optimizer, decay, numel);
            let mut ours = Moments::new(optimizer, decay, numel);
            for (step, gradient) in (1..).zip(gradients.iter().map(|named| &named[name])) {
                torch.update(&Tensor::from_slice(gradient));
                ours.update(0, gradient);
                ours.end_step();
                assert_eq!(bits(ours.second()), bits(&floats(&torch.second)), "{optimizer}, step {step}, {name}");
                let key = (i64::from(step), name.clone(), optimizer.quantity());
                if step % 10 != 0 {
                    assert!(!histograms.contains_key(&key));
                    continue;
                }
                let critical = ours.critical_epsilon();
                assert_eq!(histograms[&key], histogram_of(&critical), "{key:?}");
                for (ours, torch) in critical.iter().zip(floats(&torch.critical_epsilon(step))) {
                    assert!(ours.to_bits().abs_diff(torch.to_bits()) <= 1, "{key:?}: {ours:e} against {torch:e}");
                }
            }
        }
    }
    let recorded = Run::open(&run_dir).unwrap().manifest().critical_epsilon.unwrap();
    assert_eq!((recorded.beta1, recorded.beta2), (0.9, 0.99));
}

#[test]
fn coupled_weight_decay_is_added_as_libtorch_adds_it() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    tch::manual_seed(5);
    let weight_decay = 0.37;
    let var_store = VarStore::new(Device::Cpu);
    let mut parameter = var_store.root().randn("p", &[1003], 0.0, 0.1);
    // With learning rate 1, SGD leaves p − (g + w·p) behind.
    let mut optimizer = nn::Sgd { wd: weight_decay, ..nn::Sgd::default() }.build(&var_store, 1.0).unwrap();
    let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::All);
    let mut recorder = builder.coupled_weight_decay(weight_decay).start(&run_dir).unwrap();
    let before = floats(&parameter);
    let gradient = Tensor::randn([1003], (Kind::Float, Device::Cpu));
    optimizer.zero_grad();
    (&parameter * &gradient).sum(Kind::Float).backward();
    recorder.step(&StepInfo::default());
    assert_eq!(bits(&floats(&parameter.grad())), bits(&floats(&gradient)), "the gradient itself stays as it was");
    optimizer.step();
    recorder.finish().unwrap();

    let after = floats(&parameter);
    let values = &recorded_values(&run_dir)[&(1, "p".to_owned(), GRADIENT.to_owned())];
    for (element, value) in values {
        let element = *element as usize;
        assert_eq!((before[element] - value).to_bits(), after[element].to_bits(), "element {element}");
    }
    assert_eq!(Run::open(&run_dir).unwrap().manifest().gradient.coupled_weight_decay, weight_decay);
    parameter.zero_grad();
}

#[test]
fn tensors_that_are_frozen_or_have_no_gradient_have_no_observations() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let root = var_store.root();
    let always = root.ones("always", &[3]);
    let sometimes = root.ones("sometimes", &[2]);
    let _never = root.ones("never", &[2]);
    let mut frozen = root.ones("frozen", &[2]).set_requires_grad(false);
    let _buffer = root.ones_no_train("running_mean", &[2]);
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-2).unwrap();
    let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::All);
    let mut recorder = builder.critical_epsilon(&[Optimizer::Adam]).start(&run_dir).unwrap();
    for step in 1..=5 {
        optimizer.zero_grad();
        frozen = frozen.set_requires_grad(step == 4);
        let mut loss = (always.square() * 0.5).sum(Kind::Float) + frozen.sum(Kind::Float);
        if step % 2 == 0 {
            loss += (&sometimes * f64::from(step)).sum(Kind::Float);
        }
        loss.backward();
        recorder.step(&StepInfo { snapshot: step == 1 || step == 5, ..StepInfo::default() });
    }
    recorder.finish().unwrap();

    let run = Run::open(&run_dir).unwrap();
    let names: Vec<&str> = run.manifest().tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    // A tensor that is frozen may thaw; a buffer never has a gradient.
    assert_eq!(names, ["always", "frozen", "never", "sometimes"]);
    let histograms = recorded_histograms(&run_dir);
    let steps = |tensor: &str, quantity: &str| -> Vec<i64> {
        let keys = histograms.keys().filter(|key| key.1 == tensor && key.2 == quantity);
        keys.map(|key| key.0).collect()
    };
    let critical = Optimizer::Adam.quantity();
    assert_eq!(steps("always", GRADIENT), [1, 2, 3, 4, 5]);
    assert_eq!(steps("sometimes", GRADIENT), [2, 4]);
    assert_eq!(steps("frozen", GRADIENT), [4], "thawed for one step; its gradient stays behind and does not count");
    assert_eq!((steps("never", GRADIENT), steps("never", &critical)), (vec![], vec![]));
    // Before its first gradient a tensor has no moment; afterwards it keeps it through steps without gradient.
    assert_eq!((steps("always", &critical), steps("sometimes", &critical)), (vec![1, 5], vec![5]));

    let mut skipping = Moments::new(Optimizer::Adam, Decay { beta1: 0.9, beta2: 0.99 }, 2);
    for gradient in [2.0, 4.0] {
        skipping.update(0, &[gradient; 2]);
        skipping.end_step();
    }
    let key = (5, "sometimes".to_owned(), critical);
    assert_eq!(histograms[&key], histogram_of(&skipping.critical_epsilon()));
}

#[test]
fn other_kinds_of_floats_are_rounded_to_f32() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let mut var_store = VarStore::new(Device::Cpu);
    let parameter = var_store.root().ones("p", &[2, 2]);
    var_store.double();
    let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::All);
    let mut recorder = builder.coupled_weight_decay(0.7).start(&run_dir).unwrap();
    // A transposed gradient, to see that elements are counted row by row.
    let factors = Tensor::from_slice(&[0.1_f64, 0.2, 0.3, 0.4]).view([2, 2]);
    (parameter.transpose(0, 1) * &factors).sum(Kind::Double).backward();
    recorder.step(&StepInfo::default());
    recorder.finish().unwrap();
    let values = &recorded_values(&run_dir)[&(1, "p".to_owned(), GRADIENT.to_owned())];
    let sums = [0.1 + 0.7, 0.3 + 0.7, 0.2 + 0.7, 0.4 + 0.7_f64].map(|sum| sum as f32);
    assert_eq!(values, &[(0, sums[0]), (1, sums[1]), (2, sums[2]), (3, sums[3])]);
}

#[test]
fn a_recorder_dropped_unfinished_leaves_a_readable_run() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut recorder = Recorder::builder(&var_store, settings()).start(&run_dir).unwrap();
    for _step in 0..3 {
        random_loss(&model).backward();
        recorder.step(&StepInfo::default());
    }
    drop(recorder);
    let run = Run::open(&run_dir).unwrap();
    assert_eq!((run.manifest().status, run.last_step()), (Status::Running, 3));
}

//! A small real network, and what a run directory says of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use epsiloscope_format::Run;
use epsiloscope_histogram::Histogram;
use epsiloscope_recorder::OptimizerSettings;
use tch::nn::{self, ModuleT, VarStore};
use tch::{Device, Kind, Tensor};

/// Libtorch has one random state for all threads: tests take turns.
pub(crate) fn torch() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn settings() -> OptimizerSettings {
    OptimizerSettings {
        name: "adam".to_owned(),
        learning_rate: 1e-2,
        epsilon: 1e-8,
        beta1: Some(0.9),
        beta2: Some(0.99),
        weight_decay: 0.0,
    }
}

/// Two linear layers with dropout between them, so that training draws random numbers.
pub(crate) fn network(var_store: &VarStore) -> nn::SequentialT {
    let layer =
        |name: &str, inputs, outputs| nn::linear(var_store.root() / name, inputs, outputs, nn::LinearConfig::default());
    nn::seq_t()
        .add(layer("first", 20, 16))
        .add_fn_t(|features, train| features.relu().dropout(0.2, train))
        .add(layer("second", 16, 4))
}

/// The loss of a network on a batch drawn from the random state.
pub(crate) fn random_loss(model: &impl ModuleT) -> Tensor {
    let inputs = Tensor::randn([32, 20], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(4, [32], (Kind::Int64, Device::Cpu));
    model.forward_t(&inputs, true).cross_entropy_for_logits(&labels)
}

pub(crate) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.detach().flatten(0, -1).try_into().unwrap()
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Trainable tensors by name.
pub(crate) fn parameters(var_store: &VarStore) -> BTreeMap<String, Tensor> {
    var_store.variables().into_iter().collect()
}

/// Step, tensor, quantity.
pub(crate) type Key = (i64, String, String);

/// Recorded elements and signed values of every observation.
pub(crate) fn recorded_values(dir: &Path) -> BTreeMap<Key, Vec<(i64, f32)>> {
    let run = Run::open(dir).unwrap();
    let mut values: BTreeMap<Key, Vec<(i64, f32)>> = BTreeMap::new();
    for batch in run.magnitudes().map(Result::unwrap) {
        for row in 0..batch.magnitude.len() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            let sign = if batch.negative.value(row) { -1.0 } else { 1.0 };
            values.entry(key).or_default().push((batch.element.value(row), sign * batch.magnitude[row]));
        }
    }
    values
}

/// The histogram of every observation, bins and apart from them zeros, as `(bins, zeros)`.
pub(crate) fn recorded_histograms(dir: &Path) -> BTreeMap<Key, (Vec<(i32, u64)>, u64)> {
    let run = Run::open(dir).unwrap();
    let mut histograms: BTreeMap<Key, (Vec<(i32, u64)>, u64)> = BTreeMap::new();
    for batch in run.tensors().map(Result::unwrap) {
        for row in 0..batch.tensor.len() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            histograms.entry(key).or_default().1 = batch.zeros.value(row) as u64;
        }
    }
    for batch in run.histograms().map(Result::unwrap) {
        for row in 0..batch.tensor.len() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            histograms.entry(key).or_default().0.push((batch.bin.value(row), batch.count.value(row) as u64));
        }
    }
    histograms
}

/// The slow way: every value's bin looked up one by one.
pub(crate) fn histogram_of(values: &[f32]) -> (Vec<(i32, u64)>, u64) {
    let bins = values.iter().filter_map(|&value| epsiloscope_histogram::bins::bin_of(value));
    let zeros = values.iter().filter(|&&value| value == 0.0).count() as u64;
    (Histogram::from_bins(bins.map(|bin| (bin, 1))).bins().collect(), zeros)
}

fn key(run: &Run, step: i64, tensor: u32, quantity: u32) -> Key {
    let manifest = run.manifest();
    (step, manifest.tensors[tensor as usize].name.clone(), manifest.quantities[quantity as usize].clone())
}

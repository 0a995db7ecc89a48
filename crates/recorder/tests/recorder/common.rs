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
        learning_rate: Some(1e-2),
        epsilon: Some(1e-8),
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

/// Counts by bin, and zeros, NaN and infinities apart from them.
pub(crate) type Counts = (Vec<(i32, u64)>, [u64; 4]);

/// The histogram of every observation; those of several ranks added up.
pub(crate) fn recorded_histograms(dir: &Path) -> BTreeMap<Key, Counts> {
    let run = Run::open(dir).unwrap();
    let mut histograms: BTreeMap<Key, (BTreeMap<i32, u64>, [u64; 4])> = BTreeMap::new();
    for batch in run.tensors().map(Result::unwrap) {
        for row in 0..batch.tensor.len() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            let apart =
                [&batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf].map(|counts| counts.value(row) as u64);
            let sums = &mut histograms.entry(key).or_default().1;
            *sums = std::array::from_fn(|index| sums[index] + apart[index]);
        }
    }
    for batch in run.histograms().map(Result::unwrap) {
        for row in 0..batch.tensor.len() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            let bins = &mut histograms.entry(key).or_default().0;
            *bins.entry(batch.bin.value(row)).or_default() += batch.count.value(row) as u64;
        }
    }
    histograms.into_iter().map(|(key, (bins, apart))| (key, (bins.into_iter().collect(), apart))).collect()
}

/// Bits of the least and the greatest magnitude, and the sum of squares, of every observation of one rank.
pub(crate) fn recorded_summaries(dir: &Path) -> BTreeMap<Key, ([Option<u32>; 2], f64)> {
    let run = Run::open(dir).unwrap();
    let mut summaries = BTreeMap::new();
    for batch in run.tensors().map(Result::unwrap) {
        for (row, (min, max)) in batch.min_nonzero.iter().zip(&batch.max).enumerate() {
            let key = key(&run, batch.step.value(row), batch.tensor[row], batch.quantity[row]);
            summaries.insert(key, ([min, max].map(|value| value.map(f32::to_bits)), batch.sum_of_squares.value(row)));
        }
    }
    summaries
}

/// The numbers of the recorded steps, and those among them that overflowed.
pub(crate) fn recorded_steps(dir: &Path) -> (Vec<i64>, Vec<i64>) {
    let (mut steps, mut overflowed) = (Vec::new(), Vec::new());
    for batch in Run::open(dir).unwrap().steps().map(Result::unwrap) {
        steps.extend(batch.step.values());
        overflowed
            .extend((0..batch.step.len()).filter(|&row| batch.overflow.value(row)).map(|row| batch.step.value(row)));
    }
    (steps, overflowed)
}

/// Step, name and value of every scalar.
pub(crate) fn recorded_scalars(dir: &Path) -> Vec<(i64, String, f64)> {
    let mut scalars = Vec::new();
    for batch in Run::open(dir).unwrap().scalars().map(Result::unwrap) {
        scalars.extend(
            (0..batch.step.len()).map(|row| (batch.step.value(row), batch.name[row].clone(), batch.value.value(row))),
        );
    }
    scalars
}

/// Asserts that two runs hold the same, to the last bit.
pub(crate) fn assert_same_recording(one: &Path, other: &Path) {
    assert_eq!(recorded_steps(one), recorded_steps(other));
    assert_eq!(recorded_scalars(one), recorded_scalars(other));
    let bits = |dir: &Path| -> BTreeMap<Key, Vec<(i64, u32)>> {
        let of_key = |(key, values): (Key, Vec<(i64, f32)>)| {
            (key, values.into_iter().map(|(element, value)| (element, value.to_bits())).collect())
        };
        recorded_values(dir).into_iter().map(of_key).collect()
    };
    assert!(bits(one) == bits(other), "magnitudes");
    assert!(recorded_histograms(one) == recorded_histograms(other), "histograms");
    assert!(recorded_summaries(one) == recorded_summaries(other), "tensors");
}

/// Makes these the gradient of a parameter, to the last bit.
pub(crate) fn give_gradient(parameter: &Tensor, gradient: &Tensor) {
    if !parameter.grad().defined() {
        parameter.sum(parameter.kind()).backward();
    }
    tch::no_grad(|| parameter.grad().copy_(gradient));
}

/// The slow way: every value's bin looked up one by one.
pub(crate) fn histogram_of(values: &[f32]) -> Counts {
    let bins = values.iter().filter_map(|&value| epsiloscope_histogram::bins::bin_of(value));
    let count = |is_one: fn(&f32) -> bool| values.iter().filter(|value| is_one(value)).count() as u64;
    let apart = [
        count(|&value| value == 0.0),
        count(|value| value.is_nan()),
        count(|&value| value == f32::INFINITY),
        count(|&value| value == f32::NEG_INFINITY),
    ];
    (Histogram::from_bins(bins.map(|bin| (bin, 1))).bins().collect(), apart)
}

fn key(run: &Run, step: i64, tensor: u32, quantity: u32) -> Key {
    let manifest = run.manifest();
    (step, manifest.tensors[tensor as usize].name.clone(), manifest.quantities[quantity as usize].clone())
}

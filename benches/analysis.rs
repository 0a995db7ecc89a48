//! Histograms and estimates of recorded runs against what people would ask the same Parquet files with; prints tables.
//!
//! This writes runs as a recorder would; `benches/analysis_baselines.py` then times the executable and, each in a process
//! of its own, DuckDB, polars, and pyarrow with NumPy, round by round, so that a busy machine disturbs all alike.
//! `-- --quick` takes a hundredth of everything.

#![expect(clippy::print_stderr, reason = "a benchmark says what it waits for")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use epsiloscope_format::{
    CriticalEpsilonPolicy, Elements, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings,
    RunWriter, Sample, StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Counter, Histogram, Summary};

mod magnitudes;

use magnitudes::log_normal;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Magnitudes recorded per tensor.
const SAMPLE: usize = 4096;
/// Steps of 99,744 magnitudes each: a hundred million.
const N_SAMPLED_STEPS: i64 = 1003;
/// Steps of the runs that hold histograms.
const N_BINNED_STEPS: i64 = 100;
/// Runs that differ; others are links to their files.
const N_DISTINCT_RUNS: usize = 4;
/// Magnitudes to take from, more than the largest tensor has.
const N_VALUES: usize = 4 << 20;

fn main() -> Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return Ok(());
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    if !python.exists() {
        return Err("no .venv with DuckDB, polars and pyarrow: run scripts/test.sh first".into());
    }
    let share = if std::env::args().any(|arg| arg == "--quick") { 100 } else { 1 };
    let dir = tempfile::tempdir()?;
    eprintln!("writing runs into {}", dir.path().display());
    let values: Vec<f32> = std::iter::repeat_with(log_normal()).take(N_VALUES).collect();
    write_sampled(&dir.path().join("sampled"), &values, N_SAMPLED_STEPS / share)?;
    for run in 0..N_DISTINCT_RUNS {
        write_binned(&dir.path().join(format!("distinct/{run}")), &values[run..], (N_BINNED_STEPS / share).max(2))?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/analysis_baselines.py");
    let mut compare = Command::new(python);
    compare.arg(script).arg(dir.path()).arg(env!("CARGO_BIN_EXE_epsiloscope")).arg(share.to_string());
    if compare.status()?.success() { Ok(()) } else { Err("the comparison failed".into()) }
}

/// A run that holds a sample of every tensor's gradients at every step.
fn write_sampled(dir: &Path, values: &[f32], n_steps: i64) -> Result<()> {
    let mut manifest = manifest(dir);
    manifest.magnitudes = MagnitudePolicy::Sample { elements_per_tensor: SAMPLE as u64, seed: 0 };
    manifest.histograms = false;
    manifest.tensors.iter_mut().for_each(|tensor| tensor.recorded_elements = tensor.numel().min(SAMPLE as u64));
    let elements = |tensor: &TensorInfo| -> Arc<[i64]> {
        let (n, numel) = (tensor.recorded_elements as i64, tensor.numel() as i64);
        (0..n).map(|index| index * numel / n).collect()
    };
    let elements: Vec<Arc<[i64]>> = manifest.tensors.iter().map(elements).collect();
    write(dir, manifest, n_steps, |tensor, _quantity, turn| {
        let elements = Arc::clone(&elements[tensor]);
        let from = turn * 7919 % (values.len() - SAMPLE);
        let values = values[from..from + elements.len()].to_vec();
        let sample = Sample { elements: Elements::Listed(elements), values };
        (Histogram::default(), Some(sample))
    })
}

/// A run that holds histograms of gradients and of Adam's critical ε, each tensor's around a magnitude of its own.
fn write_binned(dir: &Path, values: &[f32], n_steps: i64) -> Result<()> {
    let mut manifest = manifest(dir);
    manifest.quantities.push("critical_epsilon.adam".to_owned());
    manifest.critical_epsilon =
        Some(CriticalEpsilonPolicy { beta1: 0.9, beta2: 0.999, every_step: true, elements: false });
    let numel: Vec<usize> = manifest.tensors.iter().map(|tensor| tensor.numel() as usize).collect();
    let mut counter = Counter::new();
    write(dir, manifest, n_steps, |tensor, quantity, turn| {
        let from = turn * 7919 % (values.len() - numel[tensor]);
        counter.count(&values[from..from + numel[tensor]]);
        let shift = (tensor as i32 * 37 + quantity as i32 * 11) % 120 - 60;
        let shifted = counter.take().bins().map(|(bin, count)| (bin + shift, count)).collect::<Vec<_>>();
        (Histogram::from_bins(shifted), None)
    })
}

/// Writes a run of which `observe` gives each tensor's histogram and sample.
fn write(
    dir: &Path,
    manifest: Manifest,
    n_steps: i64,
    mut observe: impl FnMut(usize, usize, usize) -> (Histogram, Option<Sample>),
) -> Result<()> {
    let mut writer = RunWriter::create(dir, manifest, WriterOptions::default())?;
    let keys = (0..writer.manifest().tensors.len()).flat_map(|tensor| [(tensor, 0), (tensor, 1)]);
    let n_quantities = writer.manifest().quantities.len();
    let keys: Vec<(usize, usize)> = keys.filter(|&(_, quantity)| quantity < n_quantities).collect();
    for step in 1..=n_steps {
        let observation = |&(tensor, quantity): &(usize, usize)| {
            let (histogram, sample) = observe(tensor, quantity, step as usize * keys.len() + 2 * tensor + quantity);
            Observation { tensor, quantity, histogram, summary: Summary::of(&[]), sample }
        };
        let observations = keys.iter().map(observation).collect();
        let scalars = StepScalars { epoch: Some(1), time_micros: step, ..StepScalars::default() };
        writer.append(StepRecord { step, scalars, user_scalars: Vec::new(), observations })?;
    }
    writer.finish()?;
    Ok(())
}

fn manifest(dir: &Path) -> Manifest {
    let optimizer = OptimizerSettings::adam();
    let mut manifest = Manifest::new(Manifest::name_from(dir), Mode::Monitoring, optimizer, "synthetic".to_owned());
    manifest.quantities = vec![GRADIENT.to_owned()];
    manifest.tensors = tensors();
    manifest
}

/// ResNet-18's 62 parameter tensors (He et al. 2016; names and shapes of torchvision's `resnet18`).
fn tensors() -> Vec<TensorInfo> {
    let mut tensors = vec![tensor("fc.weight", &[1000, 512]), tensor("fc.bias", &[1000])];
    let mut convolution = |layer: &str, norm: &str, from: i64, to: i64, side: i64| {
        tensors.push(tensor(&format!("{layer}.weight"), &[to, from, side, side]));
        tensors.extend(["weight", "bias"].map(|own| tensor(&format!("{norm}.{own}"), &[to])));
    };
    convolution("conv1", "bn1", 3, 64, 7);
    for (layer, (from, to)) in (1..).zip([(64, 64), (64, 128), (128, 256), (256, 512)]) {
        for block in 0..2 {
            let path = format!("layer{layer}.{block}");
            let from = if block == 0 { from } else { to };
            convolution(&format!("{path}.conv1"), &format!("{path}.bn1"), from, to, 3);
            convolution(&format!("{path}.conv2"), &format!("{path}.bn2"), to, to, 3);
            if from != to {
                convolution(&format!("{path}.downsample.0"), &format!("{path}.downsample.1"), from, to, 1);
            }
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

fn tensor(name: &str, shape: &[i64]) -> TensorInfo {
    TensorInfo { name: name.to_owned(), shape: shape.to_vec(), recorded_elements: 0 }
}

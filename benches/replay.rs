//! What replaying several optimizers together costs against replaying one: twenty million recorded magnitudes, one
//! thread, a run on disk. In each round everything is timed in turn, and a ratio is the median of the rounds' ratios.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::path::Path;
use std::sync::Arc;

use epsiloscope_analysis::{At, EstimateOptions, estimate};
use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    Elements, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings, Run, RunWriter, Sample,
    StepRecord, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Histogram, Summary};
use epsiloscope_moments::{Convention, Optimizer};

mod magnitudes;
#[expect(dead_code, reason = "a plain sum is no limit here")]
mod measuring;

use magnitudes::log_normal;
use measuring::{median, seconds};

const N_ROUNDS: usize = 9;
const N_TENSORS: usize = 50;
const N_ELEMENTS: usize = 4096;
const N_STEPS: i64 = 98;

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory can be made");
    write(&dir.path().join("run"));
    let run = Run::open(&dir.path().join("run")).expect("the run can be read");
    let mut contenders: Vec<(String, EstimateOptions)> =
        Optimizer::DEFAULT.map(|optimizer| (optimizer.to_string(), options(&[optimizer], At::Last))).to_vec();
    contenders.push(("all four".to_owned(), options(&Optimizer::DEFAULT, At::Last)));
    let every = At::Every(14.try_into().expect("14 is not zero"));
    contenders.push(("all four, after 7 steps".to_owned(), options(&Optimizer::DEFAULT, every)));
    contenders.push(("all ten".to_owned(), options(&Optimizer::ALL, At::Last)));
    let mut times = vec![Vec::with_capacity(N_ROUNDS); contenders.len()];
    for _round in 0..N_ROUNDS {
        for ((_, options), times) in contenders.iter().zip(&mut times) {
            times.push(seconds(|| drop(std::hint::black_box(estimate(&run, options).expect("the run can answer")))));
        }
    }
    println!("{:<28} {:>8} {:>14} {:>10}", "20 million magnitudes", "s", "million/s", "by adam");
    for ((name, _), own) in contenders.iter().zip(&times) {
        let by_adam = median(own.iter().zip(&times[0]).map(|(own, adam)| own / adam).collect());
        let time = median(own.clone());
        let rate = (N_TENSORS * N_ELEMENTS) as f64 * N_STEPS as f64 / 1e6 / time;
        println!("{name:<28} {time:>8.3} {rate:>14.1} {by_adam:>10.2}");
    }
}

fn options(optimizers: &[Optimizer], at: At) -> EstimateOptions {
    let optimizers = optimizers.iter().copied().map(Convention::from).collect();
    EstimateOptions { optimizers, at, ..EstimateOptions::default() }
}

/// Every element of every tensor at every step, as trained: centred on the tensor's own magnitude.
fn write(dir: &Path) {
    let mut next = log_normal();
    let gradients: Vec<f32> = std::iter::repeat_with(&mut next).take(N_ELEMENTS * (N_TENSORS + 13)).collect();
    let mut writer = RunWriter::create_on(Arc::new(Disk), dir, 0, manifest(), WriterOptions::default())
        .expect("the run can be created");
    for step in 1..=N_STEPS {
        let observation = |tensor| {
            let start = N_ELEMENTS * tensor + 37 * step as usize;
            let values = gradients[start..start + N_ELEMENTS].to_vec();
            let (histogram, summary) = (Histogram::default(), Summary::of(&values));
            let sample = Some(Sample { elements: Elements::From(0), values });
            Observation { tensor, quantity: 0, histogram, summary, sample }
        };
        let observations = (0..N_TENSORS).map(observation).collect();
        writer.append(StepRecord { step, observations, ..StepRecord::default() }).expect("the step can be written");
    }
    writer.finish().expect("the run can be finished");
}

fn manifest() -> Manifest {
    let optimizer = OptimizerSettings::adam();
    let mut manifest = Manifest::new("r-replay".to_owned(), Mode::Monitoring, optimizer, "synthetic".to_owned());
    manifest.magnitudes = MagnitudePolicy::All;
    manifest.histograms = false;
    manifest.quantities = vec![GRADIENT.to_owned()];
    manifest.tensors = (0..N_TENSORS)
        .map(|tensor| TensorInfo {
            name: format!("layer{tensor:02}.weight"),
            shape: vec![N_ELEMENTS as i64],
            recorded_elements: N_ELEMENTS as u64,
        })
        .collect();
    manifest
}

//! How much memory recording takes beside what it was asked to keep; prints a table.
//!
//! The 62 tensors of ResNet-18 (11.7 million elements) with random gradients, recorded as fast as they come, so that the
//! queue is full: the worst case. Counted is what Rust allocates between the start of recording and its end; libtorch
//! allocates elsewhere, and hands its gradients over where they are.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;

use epsiloscope_recorder::{MagnitudePolicy, Optimizer, OptimizerSettings, Recorder, StepInfo};
use peak_alloc::PeakAlloc;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: f64 = 1_048_576.0;
const N_STEPS: usize = 150;
const ELEMENTS_PER_TENSOR: u64 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return Ok(());
    }
    let sample = MagnitudePolicy::Sample { elements_per_tensor: ELEMENTS_PER_TENSOR, seed: 0 };
    println!("{:<44}{:>12}{:>16}", "recorded", "peak MiB", "asked for, MiB");
    for (name, policy, optimizers) in [
        ("histograms", MagnitudePolicy::None, &[][..]),
        ("histograms, 4096 values per tensor", sample, &[]),
        ("histograms, critical epsilon of Adam", MagnitudePolicy::None, &[Optimizer::Adam]),
    ] {
        let (peak, asked_for) = measure(policy, optimizers)?;
        println!("{name:<44}{:>12.1}{:>16.1}", peak / MIB, asked_for / MIB);
    }
    Ok(())
}

/// Bytes at the peak, and those of moments and of the sampled values of every step that may wait.
fn measure(policy: MagnitudePolicy, optimizers: &[Optimizer]) -> Result<(f64, f64), Box<dyn Error>> {
    tch::manual_seed(0);
    let var_store = VarStore::new(Device::Cpu);
    let parameters: Vec<Tensor> = resnet18()
        .iter()
        .enumerate()
        .map(|(index, shape)| var_store.root().zeros(&format!("tensor{index:02}"), shape))
        .collect();
    let loss = parameters.iter().map(|parameter| {
        let spread = (parameter.randn_like() * 2.0 - 8.0).exp();
        (parameter * spread * parameter.randn_like()).sum(Kind::Float)
    });
    loss.reduce(|a, b| a + b).ok_or("no tensor")?.backward();

    let dir = tempfile::tempdir()?;
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut recorder = Recorder::builder(&var_store, settings())
        .magnitudes(policy)
        .critical_epsilon(optimizers)
        .critical_epsilon_every_step(true)
        .start(&dir.path().join("run"))?;
    for _step in 0..N_STEPS {
        recorder.step(&StepInfo::default());
    }
    recorder.finish()?;
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    let numel: usize = parameters.iter().map(Tensor::numel).sum();
    let sampled: u64 = match policy {
        MagnitudePolicy::Sample { elements_per_tensor, .. } => {
            parameters.iter().map(|parameter| elements_per_tensor.min(parameter.numel() as u64)).sum()
        }
        MagnitudePolicy::All | MagnitudePolicy::None => 0,
    };
    let waiting = sampled as usize * 4 * epsiloscope_recorder::QUEUE_STEPS;
    Ok((peak as f64, (numel * 4 * optimizers.len() + waiting) as f64))
}

/// The shapes of ResNet-18's trainable tensors (He et al. 2015) for 224×224 images and 1000 classes.
fn resnet18() -> Vec<Vec<i64>> {
    let mut shapes = vec![vec![64, 3, 7, 7], vec![64], vec![64]];
    let mut inputs = 64;
    for outputs in [64, 128, 256, 512] {
        for block in 0..2 {
            let block_inputs = if block == 0 { inputs } else { outputs };
            shapes.extend([vec![outputs, block_inputs, 3, 3], vec![outputs], vec![outputs]]);
            shapes.extend([vec![outputs, outputs, 3, 3], vec![outputs], vec![outputs]]);
            if block_inputs != outputs {
                shapes.extend([vec![outputs, block_inputs, 1, 1], vec![outputs], vec![outputs]]);
            }
        }
        inputs = outputs;
    }
    shapes.extend([vec![1000, 512], vec![1000]]);
    shapes
}

fn settings() -> OptimizerSettings {
    OptimizerSettings::adam()
}

//! Writes small runs with names that someone else chose, for outputs to be tried on.
//!
//! `named_runs < runs.json`, a list of objects: `dir`, where the run is written; `run`, its name; `names`, of its tensors and
//! scalars, and said again by labels and a quantity. Two steps of 8 gradients per tensor, all recorded.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    CriticalEpsilonPolicy, Elements, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings,
    RunWriter, Sample, StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::Optimizer;

const NUMEL: usize = 8;
const STEPS: i64 = 2;

#[derive(serde::Deserialize)]
struct Named {
    dir: PathBuf,
    run: String,
    names: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runs: Vec<Named> = serde_json::from_reader(std::io::stdin().lock())?;
    runs.into_iter().try_for_each(write)
}

fn write(wanted: Named) -> Result<(), Box<dyn Error>> {
    let Named { dir, run, mut names } = wanted;
    names.sort_unstable();
    names.dedup();
    let manifest = manifest(run, &names);
    let quantities = manifest.quantities.clone();
    let mut writer = RunWriter::create_on(Arc::new(Disk), &dir, 0, manifest, WriterOptions::default())?;
    for step in 1..=STEPS {
        let places = (0..names.len()).flat_map(|tensor| (0..quantities.len()).map(move |quantity| (tensor, quantity)));
        let observations = places.map(|(tensor, quantity)| observation(step, tensor, quantity, &quantities)).collect();
        let user_scalars = names.iter().map(|name| (name.clone(), step as f64)).collect();
        let scalars = StepScalars { epoch: Some(1), time_micros: step, loss: Some(0.5), ..StepScalars::default() };
        writer.append(StepRecord { step, scalars, user_scalars, observations })?;
    }
    writer.finish()?;
    Ok(())
}

fn manifest(run: String, names: &[String]) -> Manifest {
    let mut manifest = Manifest::new(run.clone(), Mode::Calibration, OptimizerSettings::adam(), run);
    manifest.magnitudes = MagnitudePolicy::All;
    manifest.critical_epsilon =
        Some(CriticalEpsilonPolicy { beta1: 0.9, beta2: 0.999, every_step: true, elements: false });
    manifest.quantities = Optimizer::DEFAULT.map(Optimizer::quantity).to_vec();
    manifest.quantities.push(GRADIENT.to_owned());
    manifest.quantities.extend(names.first().cloned());
    manifest.quantities.sort_unstable();
    manifest.quantities.dedup();
    manifest.labels = names.iter().map(|name| (name.clone(), name.clone())).collect();
    let tensor =
        |name: &String| TensorInfo { name: name.clone(), shape: vec![NUMEL as i64], recorded_elements: NUMEL as u64 };
    manifest.tensors = names.iter().map(tensor).collect();
    manifest
}

/// Magnitudes over three decades, a little apart from step to step and tensor to tensor.
fn observation(step: i64, tensor: usize, quantity: usize, quantities: &[String]) -> Observation {
    let magnitude = |element: usize| 1e-5 * (1 + tensor % 7) as f32 * step as f32 * 2.6f32.powi(element as i32);
    let values: Vec<f32> = (0..NUMEL).map(magnitude).collect();
    let mut counter = Counter::new();
    counter.count(&values);
    let summary = Summary::of(&values);
    let is_gradient = quantities[quantity] == GRADIENT;
    let sample = is_gradient.then_some(Sample { elements: Elements::From(0), values });
    Observation { tensor, quantity, histogram: counter.take(), summary, sample }
}

//! Writes a run of many tensors and steps without a network, for reports to be tried on.
//!
//! `large_run DIR TENSORS STEPS EVERY [NAME]`: log-normal gradients whose centres drift, binned at every EVERY-th step,
//! and the critical ε of the usual optimizers at two snapshots. Tensors are called NAME.0000.weight and so on.

use std::env;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    Cadence, CriticalEpsilonPolicy, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings,
    RunWriter, StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::bins::first_float;
use epsiloscope_histogram::{Histogram, Summary};
use epsiloscope_moments::Optimizer;

const NUMEL: i64 = 10_000;
/// Standard deviation of log10 of the magnitudes, in bins.
const WIDTH: f64 = 22.0;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [dir, tensors, steps, every, rest @ ..] = args.as_slice() else {
        return Err("expected DIR TENSORS STEPS EVERY [NAME]".into());
    };
    let (tensors, steps, every): (usize, i64, i64) = (tensors.parse()?, steps.parse()?, every.parse()?);
    let manifest = manifest(Path::new(dir), tensors, every as u64, rest.first().map_or("block", String::as_str));
    let disk = Arc::new(Disk);
    let mut writer = RunWriter::create_on(disk, Path::new(dir), 0, manifest, WriterOptions::default())?;
    let shape = shape();
    for step in (every..=steps).step_by(every as usize) {
        let is_snapshot = step == steps || step == steps / 2;
        writer.append(record(step, steps, tensors, is_snapshot, &shape))?;
    }
    writer.finish()?;
    Ok(())
}

fn manifest(dir: &Path, n_tensors: usize, every: u64, name: &str) -> Manifest {
    let optimizer = OptimizerSettings::adam();
    let mut manifest = Manifest::new(Manifest::name_from(dir), Mode::Monitoring, optimizer, "synthetic".to_owned());
    manifest.histograms = true;
    manifest.magnitudes = MagnitudePolicy::None;
    manifest.cadence = Cadence { every, ..Cadence::default() };
    manifest.critical_epsilon =
        Some(CriticalEpsilonPolicy { beta1: 0.9, beta2: 0.999, every_step: false, elements: false });
    manifest.quantities = Optimizer::DEFAULT.map(Optimizer::quantity).to_vec();
    manifest.quantities.push(GRADIENT.to_owned());
    manifest.quantities.sort_unstable();
    manifest.tensors = (0..n_tensors)
        .map(|tensor| TensorInfo {
            name: format!("{name}.{:04}.{}", tensor / 2, ["bias", "weight"][tensor % 2]),
            shape: vec![NUMEL],
            recorded_elements: 0,
        })
        .collect();
    manifest
}

/// Elements per bin around the centre.
fn shape() -> Vec<(i32, u64)> {
    let weights: Vec<(i32, f64)> =
        (-80..=80).map(|offset| (offset, (-0.5 * (f64::from(offset) / WIDTH).powi(2)).exp())).collect();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut shape: Vec<(i32, u64)> =
        weights.into_iter().map(|(offset, weight)| (offset, (weight / total * NUMEL as f64) as u64)).collect();
    let counted: u64 = shape.iter().map(|(_, count)| count).sum();
    shape[80].1 += NUMEL as u64 - counted;
    shape
}

fn record(step: i64, steps: i64, n_tensors: usize, is_snapshot: bool, shape: &[(i32, u64)]) -> StepRecord {
    let drift = (60 * step / steps) as i32;
    let mut observations = Vec::new();
    for tensor in 0..n_tensors {
        let centre = -120 - (tensor as i32 * 37) % 90 - drift + (step as i32 * 7 + tensor as i32) % 5;
        // Quantities are sorted: adabelief, adam, adamomentum, rmsprop, then the gradient.
        let of_optimizers = [2 * centre - 120, centre, 2 * centre - 125, centre - 1];
        let critical = of_optimizers.into_iter().enumerate().filter(|_| is_snapshot);
        observations.extend(critical.chain([(4, centre)]).map(|(quantity, centre)| Observation {
            tensor,
            quantity,
            histogram: around(centre, step as i32 + tensor as i32, shape),
            summary: summary(centre),
            sample: None,
        }));
    }
    let scalars = StepScalars {
        epoch: Some(1 + (4 * (step - 1) / steps) as i32),
        time_micros: 1_700_000_000_000_000 + step,
        loss: Some(1.0 / step as f64),
        learning_rate: Some(1e-3),
        loss_scale: None,
        overflow: false,
    };
    StepRecord { step, scalars, user_scalars: Vec::new(), observations }
}

/// The shape, not quite the same each time: neighbouring bins exchange some of their elements.
fn around(centre: i32, seed: i32, shape: &[(i32, u64)]) -> Histogram {
    let mut counts: Vec<(i32, u64)> = shape.iter().map(|&(offset, count)| (centre + offset, count)).collect();
    for (index, pair) in counts.chunks_exact_mut(2).enumerate() {
        let moved =
            pair[0].1 * u64::from((seed as u32).wrapping_mul(2_654_435_761).wrapping_add(index as u32 * 97) % 64) / 128;
        pair[0].1 -= moved;
        pair[1].1 += moved;
    }
    Histogram::from_bins(counts)
}

fn summary(centre: i32) -> Summary {
    let [least, greatest] = [centre - 80, centre + 80].map(first_float);
    Summary { min_nonzero: Some(least), max: Some(greatest), sum_of_squares: f64::from(greatest).powi(2) }
}

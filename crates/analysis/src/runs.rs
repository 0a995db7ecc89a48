//! What a run is, as one row.

use epsiloscope_format::{Manifest, Run};
use polars::prelude::*;

use crate::error::AnalysisError;

/// One row: settings, extent and gaps of a run.
///
/// # Errors
/// [`AnalysisError::Format`] if `steps` cannot be read.
pub fn run_row(run: &Run) -> Result<DataFrame, AnalysisError> {
    let missing: i64 = run.missing_steps()?.iter().map(|(first, last)| last - first + 1).sum();
    let (loss, epoch) = last_scalars(run)?;
    let manifest = run.manifest();
    let optimizer = &manifest.optimizer;
    let frame = df![
        "run" => [manifest.run.as_str()],
        "path" => [run.dir().display().to_string()],
        "task" => [manifest.task()],
        "configuration" => [manifest.configuration()],
        "seed" => [manifest.seed()],
        "mode" => [manifest.mode.name()],
        "status" => [if run.is_finished() { "finished" } else { "unfinished" }],
        "created" => [manifest.created.as_str()],
        "finished" => [manifest.finished.as_deref()],
        "last_step" => [run.last_step()],
        "last_epoch" => [epoch],
        "missing_steps" => [missing],
        "dropped_steps" => [run.dropped_steps() as i64],
        "last_loss" => [loss],
        "optimizer" => [optimizer.name.as_str()],
        "learning_rate" => [optimizer.learning_rate],
        "epsilon" => [optimizer.epsilon],
        "beta1" => [optimizer.beta1],
        "beta2" => [optimizer.beta2],
        "weight_decay" => [optimizer.weight_decay],
        "coupled_weight_decay" => [manifest.gradient.coupled_weight_decay],
        "clipped" => [manifest.gradient.clipped],
        "accumulated_batches" => [i64::from(manifest.gradient.accumulated_batches)],
        "tensors" => [manifest.tensors.len() as i64],
        "elements" => [manifest.tensors.iter().map(|tensor| tensor.numel() as i64).sum::<i64>()],
        "world_size" => [i64::from(manifest.ranks.world_size)],
        "labels" => [labels(manifest)],
        "framework" => [manifest.software.framework.as_str()],
        "recorded_by" => [manifest.software.epsiloscope.as_str()],
    ];
    frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// The last loss that is a number, and the last epoch.
fn last_scalars(run: &Run) -> Result<(Option<f64>, Option<i32>), AnalysisError> {
    let (mut loss, mut epoch) = (None, None);
    for batch in run.steps() {
        let batch = batch?;
        loss = batch.loss.iter().flatten().last().or(loss);
        epoch = batch.epoch.iter().flatten().max().max(epoch);
    }
    Ok((loss, epoch))
}

/// What describes the run, as a JSON object.
fn labels(manifest: &Manifest) -> String {
    serde_json::to_string(&manifest.labels).unwrap_or_default()
}

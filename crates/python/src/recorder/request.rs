//! What Python asks for, as JSON, and the description that it is.

use std::collections::BTreeMap;
use std::time::Duration;

use epsiloscope_format::{Cadence, GradientDefinition, MagnitudePolicy, Mode, OptimizerSettings, Ranks, WriterOptions};
use epsiloscope_moments::{Optimizer, UnknownOptimizer};
use epsiloscope_recording::{Candidate, Description, Selection, Shard, WhenFull};
use serde::Deserialize;

/// A recording as `epsiloscope/torch/_request.py` writes it down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Request {
    framework: String,
    optimizer: OptimizerSettings,
    mode: Mode,
    magnitudes: MagnitudePolicy,
    signs: bool,
    histograms: bool,
    cadence: Cadence,
    include: Vec<String>,
    exclude: Vec<String>,
    critical_epsilon: Vec<String>,
    critical_epsilon_every_step: bool,
    snapshot_elements: bool,
    gradient: GradientDefinition,
    rank: u32,
    ranks: Ranks,
    labels: BTreeMap<String, String>,
    waits_when_full: bool,
    patience_secs: f64,
    flush_secs: f64,
    /// That gradients are counted on.
    pub(super) threads: usize,
    tensors: Vec<Tensor>,
    /// Where a run is taken up again.
    pub(super) resumption: Option<Resumption>,
}

/// The step to go on after.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resumption {
    pub(super) after_step: i64,
    /// Whether the moments behind critical ε go on as well.
    pub(super) moments_restored: bool,
}

/// A tensor that may be recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    /// Of what this process has.
    shape: Vec<i64>,
    /// Of the whole, where this process has a part that begins with the element `offset`.
    whole: Option<Vec<i64>>,
    offset: i64,
    /// Whether the moments behind critical ε are kept here; if not, the training's own are lent, or kept in Python.
    keeps_moments: bool,
}

impl Request {
    /// Whether the moments of a tensor are kept here.
    pub(super) fn keeps_moments(&self, tensor: &str) -> bool {
        self.tensors.iter().any(|each| each.name == tensor && each.keeps_moments)
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let candidate = |tensor: &Tensor| Candidate { name: tensor.name.clone(), shape: tensor.shape.clone() };
        self.tensors.iter().map(candidate).collect()
    }

    /// # Errors
    /// The name of an optimizer that is none.
    pub(super) fn description(&self) -> Result<Description, UnknownOptimizer> {
        let optimizers: Result<Vec<Optimizer>, _> = self.critical_epsilon.iter().map(|name| name.parse()).collect();
        let mut optimizers = optimizers?;
        optimizers.sort_unstable();
        optimizers.dedup();
        let mut selection = Selection::default();
        self.include.iter().for_each(|pattern| selection.include(pattern));
        self.exclude.iter().for_each(|pattern| selection.exclude(pattern));
        let part = |tensor: &Tensor| {
            let shape = tensor.whole.clone()?;
            Some((tensor.name.clone(), Shard { offset: tensor.offset, shape }))
        };
        Ok(Description {
            mode: self.mode,
            magnitudes: self.magnitudes,
            signs: self.signs,
            histograms: self.histograms,
            cadence: self.cadence.clone(),
            selection,
            optimizers,
            critical_epsilon_every_step: self.critical_epsilon_every_step,
            snapshot_elements: Some(self.snapshot_elements),
            gradient: self.gradient,
            rank: self.rank,
            ranks: self.ranks,
            shards: self.tensors.iter().filter_map(part).collect(),
            labels: self.labels.clone(),
            when_full: if self.waits_when_full { WhenFull::Wait } else { WhenFull::Drop },
            patience: Duration::try_from_secs_f64(self.patience_secs).unwrap_or(Duration::from_hours(24)),
            writer_options: WriterOptions { flush_secs: self.flush_secs, ..WriterOptions::default() },
            ..Description::new(self.optimizer.clone(), self.framework.clone())
        })
    }
}

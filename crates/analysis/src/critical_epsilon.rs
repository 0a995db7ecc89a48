//! The critical ε of every tensor's elements, from whatever the run holds.

use epsiloscope_format::{Manifest, Run, TensorInfo};
use epsiloscope_histogram::Histogram;
use epsiloscope_moments::{Decay, Optimizer};

use crate::error::AnalysisError;
use crate::estimate::{EstimateOptions, Method};
use crate::replay::{Prerequisites, TensorReplay, not_recorded, replay};
use crate::snapshots::Snapshots;

/// What is known of one optimizer's critical ε in a run.
pub(crate) struct Known {
    pub(crate) optimizer: Optimizer,
    pub(crate) decay: Decay,
    /// The step after which it was taken.
    pub(crate) step: i64,
    /// The step after which what was recorded of it began again from zero, if it did.
    pub(crate) restarted_after: Option<i64>,
    /// One per tensor of the manifest, in its order.
    pub(crate) tensors: Vec<CriticalEpsilon>,
}

/// What is known of the critical ε of a tensor's elements.
pub(crate) enum CriticalEpsilon {
    /// Nothing.
    Unknown,
    /// Values of recorded elements.
    Values {
        /// Finite and non-zero ones, ascending.
        sorted: Vec<f32>,
        zeros: u64,
        non_finite: u64,
        /// Whether they are those of every element.
        complete: bool,
    },
    /// Every element's bin.
    Bins(Histogram),
}

impl CriticalEpsilon {
    /// Of elements with these values.
    pub(crate) fn from_values(values: &[f32], complete: bool) -> Self {
        let zeros = values.iter().filter(|&&value| value == 0.0).count() as u64;
        let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite() && *value != 0.0).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let non_finite = values.len() as u64 - zeros - sorted.len() as u64;
        Self::Values { sorted, zeros, non_finite, complete }
    }

    pub(crate) fn method(&self) -> Option<Method> {
        match self {
            Self::Unknown => None,
            Self::Values { complete: true, .. } => Some(Method::Exact),
            Self::Values { complete: false, .. } => Some(Method::Sample),
            Self::Bins(_) => Some(Method::Bins),
        }
    }

    /// Finite, non-zero values.
    pub(crate) fn sample_size(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Values { sorted, .. } => sorted.len() as u64,
            Self::Bins(histogram) => histogram.total(),
        }
    }

    pub(crate) fn zeros(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Values { zeros, .. } => *zeros,
            Self::Bins(histogram) => histogram.zeros(),
        }
    }

    pub(crate) fn non_finite(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Values { non_finite, .. } => *non_finite,
            Self::Bins(histogram) => histogram.nan() + histogram.pos_inf() + histogram.neg_inf(),
        }
    }

    /// Values of any kind.
    pub(crate) fn n_looked_at(&self) -> u64 {
        self.sample_size() + self.zeros() + self.non_finite()
    }

    /// Non-zero values smaller than ε; of a bin that ε divides, all.
    pub(crate) fn n_below(&self, epsilon: f64) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Values { sorted, .. } => sorted.partition_point(|&value| f64::from(value) < epsilon) as u64,
            Self::Bins(histogram) => {
                let lower = |bin| epsiloscope_histogram::bins::lower_edge(bin, histogram.bins_per_decade());
                histogram.bins().filter(|&(bin, _)| lower(bin) < epsilon).map(|(_, count)| count).sum()
            }
        }
    }
}

/// The critical ε of each optimizer asked for, every tensor by the most exact method that the run allows: every
/// value, replayed or from a snapshot, else every bin, else a sample.
pub(crate) fn critical_epsilons(run: &Run, options: &EstimateOptions) -> Result<Vec<Known>, AnalysisError> {
    let mut sources = Sources::read(run, options)?;
    options.optimizers.iter().map(|&optimizer| sources.known(run, optimizer)).collect()
}

/// Where the critical ε of a run can be taken from.
struct Sources<'a> {
    manifest: &'a Manifest,
    prerequisites: Prerequisites<'a>,
    decay: Decay,
    step: i64,
    snapshots: Snapshots,
    /// The optimizers that snapshots leave something to tell about, and what that is, tensor by tensor.
    replayed: Vec<Optimizer>,
    replays: Vec<TensorReplay>,
}

impl<'a> Sources<'a> {
    fn read(run: &'a Run, options: &EstimateOptions) -> Result<Self, AnalysisError> {
        let manifest = run.manifest();
        let recorded = manifest.critical_epsilon.map(|policy| Decay { beta1: policy.beta1, beta2: policy.beta2 });
        let usual = recorded.unwrap_or_default();
        let decay = Decay { beta1: options.beta1.unwrap_or(usual.beta1), beta2: options.beta2.unwrap_or(usual.beta2) };
        let prerequisites = Prerequisites::read(run)?;
        let is_replayable = |optimizer, step| prerequisites.obstacle(optimizer, step).is_none();
        let is_complete = manifest.tensors.iter().all(|tensor| tensor.recorded_elements == tensor.numel())
            && options.optimizers.iter().all(|&optimizer| is_replayable(optimizer, run.last_step()));
        // Snapshots are of no use if all can be replayed, or if they were taken at other decay rates.
        let wanted = !is_complete && recorded == Some(decay);
        let snapshots = if wanted { Snapshots::read(run)? } else { Snapshots::default() };
        let step = snapshots.step.unwrap_or(run.last_step());
        let is_open =
            |optimizer| (0..manifest.tensors.len()).any(|tensor| is_open(manifest, &snapshots, tensor, optimizer));
        let asked = options.optimizers.iter().copied();
        let replayed: Vec<_> = asked.filter(|&known| is_replayable(known, step) && is_open(known)).collect();
        let replays = if replayed.is_empty() { Vec::new() } else { replay(run, &replayed, decay, step)? };
        Ok(Self { manifest, prerequisites, decay, step, snapshots, replayed, replays })
    }

    fn known(&mut self, run: &Run, optimizer: Optimizer) -> Result<Known, AnalysisError> {
        let (mut tensors, mut uses_snapshots) = (Vec::new(), false);
        for tensor in 0..self.manifest.tensors.len() {
            let critical = self.replayed(tensor, optimizer).or_else(|| {
                let taken = self.snapshots.take(tensor, optimizer);
                uses_snapshots |= taken.is_some();
                taken
            });
            tensors.push(critical.unwrap_or(CriticalEpsilon::Unknown));
        }
        if tensors.iter().all(|tensor| matches!(tensor, CriticalEpsilon::Unknown)) {
            let obstacle = self.prerequisites.obstacle(optimizer, self.step).unwrap_or_default();
            let reason = format!(
                "no critical epsilon of {optimizer} was recorded at these decay rates, and its moments cannot be \
                 replayed: {obstacle}"
            );
            return Err(not_recorded(run, reason));
        }
        let restarted_after = uses_snapshots.then(|| restarted_after(self.manifest, self.step)).flatten();
        Ok(Known { optimizer, decay: self.decay, step: self.step, restarted_after, tensors })
    }

    /// What replaying tells of a tensor, where that is more than its snapshot does.
    fn replayed(&self, tensor: usize, optimizer: Optimizer) -> Option<CriticalEpsilon> {
        let slot = self.replayed.iter().position(|&replayed| replayed == optimizer)?;
        let is_open = is_open(self.manifest, &self.snapshots, tensor, optimizer);
        is_open.then(|| from_replay(&self.manifest.tensors[tensor], &self.replays[tensor].critical_epsilon(slot)))
    }
}

/// Whether replaying a tensor's gradients tells more than its snapshot: all values instead of bins, or a sample instead
/// of nothing.
fn is_open(manifest: &Manifest, snapshots: &Snapshots, tensor: usize, optimizer: Optimizer) -> bool {
    let info = &manifest.tensors[tensor];
    match snapshots.get(tensor, optimizer) {
        Some(CriticalEpsilon::Values { .. }) => false,
        Some(_) => info.recorded_elements == info.numel(),
        None => info.recorded_elements > 0,
    }
}

/// Values of a tensor's recorded elements; none if it never had a gradient, so that the optimizer never moved it.
fn from_replay(info: &TensorInfo, values: &[f32]) -> CriticalEpsilon {
    let complete = info.recorded_elements == info.numel();
    match values {
        [] => CriticalEpsilon::Values { sorted: Vec::new(), zeros: info.recorded_elements, non_finite: 0, complete },
        values => CriticalEpsilon::from_values(values, complete),
    }
}

/// The step after which the recorder's moments began again from zero, if a resumption before `step` had lost them.
fn restarted_after(manifest: &Manifest, step: i64) -> Option<i64> {
    let mut restarts: Vec<i64> = Vec::new();
    for resumption in manifest.resumed.iter().filter(|resumption| resumption.after_step < step) {
        // Whoever goes back behind a restart leaves it behind.
        restarts.retain(|&restart| restart < resumption.after_step);
        if !resumption.moments_restored {
            restarts.push(resumption.after_step);
        }
    }
    restarts.pop().filter(|&restart| restart > 0)
}

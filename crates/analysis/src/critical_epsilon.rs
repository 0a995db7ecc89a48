//! The critical ε of every tensor's elements, from whatever the run holds.

use std::collections::BTreeSet;

use epsiloscope_format::{HistogramBatch, MagnitudeBatch, Manifest, PartEntry, Run, TensorBatch, TensorInfo};
use epsiloscope_histogram::Histogram;
use epsiloscope_moments::{Decay, Optimizer};

use crate::at::At;
use crate::cursor::Cursor;
use crate::error::AnalysisError;
use crate::estimate::{EstimateOptions, Method};
use crate::from_gradients::{is_asked, visit_from_gradients};
use crate::kept_ranks::Envelope;
use crate::replay::{Prerequisites, Replay, not_recorded, segments_in};
use crate::snapshots::{Snapshot, Taken, holds_any, optimizers_of_quantities};
use crate::window::epochs;

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
    /// What histograms of gradients say.
    Between(Envelope),
    /// Nothing: some gradients are not finite, and histograms do not say whose.
    NotFinite,
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
            Self::Unknown | Self::NotFinite => None,
            Self::Values { complete: true, .. } => Some(Method::Exact),
            Self::Values { complete: false, .. } => Some(Method::Sample),
            Self::Bins(_) => Some(Method::Bins),
            Self::Between(_) => Some(Method::Gradient),
        }
    }

    /// Finite, non-zero values.
    pub(crate) fn sample_size(&self) -> u64 {
        match self {
            Self::Unknown | Self::NotFinite => 0,
            Self::Values { sorted, .. } => sorted.len() as u64,
            Self::Bins(histogram) => histogram.total(),
            Self::Between(envelope) => envelope.kept.total(),
        }
    }

    pub(crate) fn zeros(&self) -> u64 {
        match self {
            Self::Unknown | Self::NotFinite => 0,
            Self::Values { zeros, .. } => *zeros,
            Self::Bins(histogram) => histogram.zeros(),
            Self::Between(envelope) => envelope.kept.zeros(),
        }
    }

    pub(crate) fn non_finite(&self) -> u64 {
        match self {
            Self::Unknown | Self::NotFinite | Self::Between(_) => 0,
            Self::Values { non_finite, .. } => *non_finite,
            Self::Bins(histogram) => histogram.nan() + histogram.pos_inf() + histogram.neg_inf(),
        }
    }

    /// Values of any kind.
    pub(crate) fn n_looked_at(&self) -> u64 {
        self.sample_size() + self.zeros() + self.non_finite()
    }
}

/// Hands over the critical ε of each optimizer asked for after each step asked for, in the order of steps, every
/// tensor by the most exact method that the run allows: every value, replayed or from a snapshot, else every bin, else
/// a sample; or by the gradients' histograms, if those are asked for or nothing else can be there.
///
/// One pass over the files answers for all steps, and what was handed over is not kept. Of part files that hold no step
/// asked for, only those of `magnitudes` are opened, and only to replay.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if nothing is known of an optimizer that is required, or of any, at any of the steps; else
/// what reading and replaying brings, or what `visit` returns.
pub(crate) fn visit_critical_epsilons(
    run: &Run,
    options: &EstimateOptions,
    mut visit: impl FnMut(&Known) -> Result<(), AnalysisError>,
) -> Result<(), AnalysisError> {
    if is_asked(run.manifest(), options) {
        return visit_from_gradients(run, options, visit);
    }
    let plan = Plan::make(run, options)?;
    let mut unknown: BTreeSet<Optimizer> = plan.optimizers.iter().copied().collect();
    let mut pass = Pass::begin(&plan)?;
    for &step in &plan.steps {
        let snapshot = pass.advance(step)?;
        for &optimizer in &plan.optimizers {
            if let Some(known) = plan.known(optimizer, &snapshot, step, &pass.replay) {
                visit(&known)?;
                unknown.remove(&optimizer);
            }
        }
    }
    match unknown.first() {
        Some(&optimizer) if options.all_required || unknown.len() == plan.optimizers.len() => {
            Err(plan.nothing_known(optimizer))
        }
        _ => Ok(()),
    }
}

/// What is read to answer.
struct Plan<'a> {
    run: &'a Run,
    options: &'a EstimateOptions,
    prerequisites: Prerequisites<'a>,
    decay: Decay,
    optimizers: Vec<Optimizer>,
    /// Ascending.
    steps: Vec<i64>,
    /// Those of them whose values, and whose bins, the recorder took.
    value_steps: BTreeSet<i64>,
    bin_steps: BTreeSet<i64>,
    /// The optimizers that snapshots leave something to tell about.
    replayed: Vec<Optimizer>,
    /// Whose critical ε each quantity holds.
    quantities: Vec<Option<Optimizer>>,
}

impl<'a> Plan<'a> {
    fn make(run: &'a Run, options: &'a EstimateOptions) -> Result<Self, AnalysisError> {
        let manifest = run.manifest();
        let recorded = manifest.critical_epsilon.map(|policy| Decay { beta1: policy.beta1, beta2: policy.beta2 });
        let usual = recorded.unwrap_or_default();
        let decay = Decay { beta1: options.beta1.unwrap_or(usual.beta1), beta2: options.beta2.unwrap_or(usual.beta2) };
        let prerequisites = Prerequisites::read(run)?;
        let optimizers = options.denominators();
        let is_replayable = |step| optimizers.iter().all(|&known| prerequisites.obstacle(known, step).is_none());
        let is_complete = manifest.tensors.iter().all(is_complete) && is_replayable(run.last_step());
        // Snapshots are of no use if all can be replayed, or if they were taken at other decay rates.
        let is_of_use = !is_complete && recorded == Some(decay);
        let taken = if is_of_use || options.at == At::All { Taken::read(run)? } else { Taken::default() };
        let mut plan = Self {
            run,
            options,
            prerequisites,
            decay,
            optimizers,
            steps: Vec::new(),
            value_steps: BTreeSet::new(),
            bin_steps: BTreeSet::new(),
            replayed: Vec::new(),
            quantities: optimizers_of_quantities(manifest),
        };
        plan.find_steps(options.at, is_of_use, &taken)?;
        if is_of_use {
            let of_steps = |wanted: &dyn Fn(&i64) -> bool| plan.steps.iter().copied().filter(wanted).collect();
            plan.value_steps = of_steps(&|step| taken.value_steps.contains(step));
            plan.bin_steps = of_steps(&|step| !taken.value_steps.contains(step));
        }
        let is_open = |optimizer: &Optimizer| plan.steps.iter().any(|&step| plan.is_open(*optimizer, step, &taken));
        plan.replayed = plan.optimizers.iter().copied().filter(is_open).collect();
        Ok(plan)
    }

    /// Those of the steps asked for at which anything is known.
    fn find_steps(&mut self, at: At, snapshots_are_of_use: bool, taken: &Taken) -> Result<(), AnalysisError> {
        let last_step = self.run.last_step();
        let asked: Vec<i64> = match at {
            At::Last => vec![taken.last_step().filter(|_| snapshots_are_of_use).unwrap_or(last_step)],
            At::Epoch => epochs(self.run)?.into_iter().map(|steps| *steps.end()).collect(),
            At::Step(step) => vec![step],
            At::Every(n) => (1..=last_step / n.get()).map(|index| index * n.get()).collect(),
            At::All => taken.steps().collect(),
        };
        let is_known = |optimizer: &Optimizer, step| {
            self.prerequisites.obstacle(*optimizer, step).is_none()
                || snapshots_are_of_use && taken.has(step, *optimizer)
        };
        let is_answerable =
            |&step: &i64| step <= last_step && self.optimizers.iter().any(|optimizer| is_known(optimizer, step));
        self.steps = asked.into_iter().filter(is_answerable).collect();
        match (self.steps.is_empty(), self.optimizers.first(), at) {
            (false, ..) | (_, None, _) => Ok(()),
            (true, Some(&optimizer), At::Last) => Err(self.nothing_known(optimizer)),
            (true, ..) => Err(not_recorded(
                self.run,
                format!("no critical epsilon is known at {at} (the run has {last_step} steps): ask with --at last"),
            )),
        }
    }

    /// Whether replaying gradients tells more of a step than its snapshot: all values instead of bins, or a sample
    /// instead of nothing.
    fn is_open(&self, optimizer: Optimizer, step: i64, taken: &Taken) -> bool {
        let manifest = self.run.manifest();
        let is_covered =
            self.value_steps.union(&self.bin_steps).any(|&of| of == step) && taken.covers(step, optimizer, manifest);
        let tells_more = |tensor: &TensorInfo| {
            tensor.recorded_elements > 0 && (!is_covered || is_complete(tensor) && !self.value_steps.contains(&step))
        };
        self.prerequisites.obstacle(optimizer, step).is_none() && manifest.tensors.iter().any(tells_more)
    }

    /// `None` if nothing is known of any tensor.
    fn known(&self, optimizer: Optimizer, snapshot: &Snapshot<'_>, step: i64, replay: &Replay<'_>) -> Option<Known> {
        let slot = replay.optimizers.iter().position(|&replayed| replayed == optimizer);
        let slot = slot.filter(|_| self.prerequisites.obstacle(optimizer, step).is_none());
        let mut uses_snapshot = false;
        let mut of_tensor = |(tensor, info): (usize, &TensorInfo)| {
            let replayed = |wanted: bool| {
                let slot = slot.filter(|_| wanted && info.recorded_elements > 0)?;
                Some(from_replay(info, &replay.critical_epsilon(tensor, slot)))
            };
            let taken = snapshot.values(tensor, optimizer, info.numel());
            let taken = match replayed(taken.is_none() && is_complete(info)) {
                Some(values) => return values,
                None => taken.or_else(|| snapshot.bins(tensor, optimizer, info.numel())),
            };
            uses_snapshot |= taken.is_some();
            taken.or_else(|| replayed(true)).unwrap_or(CriticalEpsilon::Unknown)
        };
        let tensors: Vec<_> = self.run.manifest().tensors.iter().enumerate().map(&mut of_tensor).collect();
        let restarted_after = uses_snapshot.then(|| restarted_after(self.run.manifest(), step)).flatten();
        let known = Known { optimizer, decay: self.decay, step, restarted_after, tensors };
        known.tensors.iter().any(|tensor| !matches!(tensor, CriticalEpsilon::Unknown)).then_some(known)
    }

    fn nothing_known(&self, optimizer: Optimizer) -> AnalysisError {
        let step = self.steps.last().copied().unwrap_or(self.run.last_step());
        let obstacle = self.prerequisites.obstacle(optimizer, step).unwrap_or_default();
        let asked = self.options.asked_as(optimizer);
        let reason = format!(
            "no critical epsilon of {asked} was recorded at these decay rates, and its moments cannot be replayed: \
             {obstacle}"
        );
        not_recorded(self.run, reason)
    }
}

/// The files of a run, read side by side.
struct Pass<'a> {
    plan: &'a Plan<'a>,
    magnitudes: Vec<Cursor<'a, MagnitudeBatch>>,
    tensors: Vec<Cursor<'a, TensorBatch>>,
    histograms: Vec<Cursor<'a, HistogramBatch>>,
    replay: Replay<'a>,
}

impl<'a> Pass<'a> {
    fn begin(plan: &'a Plan<'a>) -> Result<Self, AnalysisError> {
        let run = plan.run;
        let replayed_through = if plan.replayed.is_empty() { 0 } else { plan.steps.last().copied().unwrap_or(0) };
        let has_magnitudes =
            move |part: &PartEntry| part.first_step <= replayed_through || holds_any(part, &plan.value_steps);
        let has_bins = |part: &PartEntry| holds_any(part, &plan.bin_steps);
        let ranks = 0..run.n_ranks();
        Ok(Self {
            plan,
            magnitudes: ranks.clone().map(|rank| Cursor::new(run.magnitudes_of(rank, has_magnitudes))).collect(),
            tensors: ranks.clone().map(|rank| Cursor::new(run.tensors_of(rank, has_bins))).collect(),
            histograms: ranks.map(|rank| Cursor::new(run.histograms_of(rank, has_bins))).collect(),
            replay: Replay::new(run, plan.replayed.clone(), plan.decay)?,
        })
    }

    /// Replays up to the end of a step; what the recorder took after it.
    fn advance(&mut self, step: i64) -> Result<Snapshot<'a>, AnalysisError> {
        let mut snapshot = Snapshot::new(step, &self.plan.quantities);
        let has_values = self.plan.value_steps.contains(&step);
        let has_bins = self.plan.bin_steps.contains(&step);
        for rank in &mut self.tensors {
            rank.through(step, |batch, rows| {
                snapshot.take_apart(batch, if has_bins { rows } else { 0..0 });
                Ok(())
            })?;
        }
        for rank in &mut self.histograms {
            rank.through(step, |batch, rows| {
                snapshot.take_bins(batch, if has_bins { rows } else { 0..0 });
                Ok(())
            })?;
        }
        for rank in &mut self.magnitudes {
            rank.through(step, |batch, rows| {
                segments_in(batch, rows).try_for_each(|segment| {
                    if has_values {
                        snapshot.take_values(batch, segment.clone());
                    }
                    self.replay.take(batch, segment)
                })
            })?;
        }
        self.replay.end_step()?;
        Ok(snapshot)
    }
}

/// Whether every element's gradient was recorded.
fn is_complete(tensor: &TensorInfo) -> bool {
    tensor.recorded_elements == tensor.numel()
}

/// Values of a tensor's recorded elements; none if it never had a gradient, so that the optimizer never moved it.
fn from_replay(info: &TensorInfo, values: &[f32]) -> CriticalEpsilon {
    let complete = is_complete(info);
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

//! Moments replayed offline: the recorded gradients of a run, run through the recursions of several optimizers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use epsiloscope_format::{FormatError, GRADIENT, MagnitudeBatch, Manifest, Run};
use epsiloscope_moments::{Decay, Moments, Optimizer};

use crate::error::AnalysisError;

/// The moments of one tensor's recorded elements after the last replayed step.
#[derive(Debug, Default)]
pub struct TensorReplay {
    /// What each rank recorded of it; nothing if the tensor never had a gradient.
    pub shards: BTreeMap<u32, Shard>,
}

/// The elements of a tensor that one rank recorded.
#[derive(Debug, Default)]
pub struct Shard {
    /// Ascending indices into the flattened tensor.
    pub elements: Vec<i64>,
    /// One per optimizer asked for, in that order.
    pub moments: Vec<Moments>,
    /// The present step.
    step: i64,
    /// The gradients of the present step taken so far.
    gradients: Vec<f32>,
}

/// Replays the gradients of steps 1 to `last_step` for every tensor of the manifest, in its order.
///
/// One pass over `magnitudes` serves all optimizers. A step at which a tensor had no gradient does not move its
/// moments, as PyTorch's optimizers skip it; nor does one whose scaled gradients overflowed, as `GradScaler` skips it.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run lacks gradients, steps or signs that the moments are made of;
/// [`AnalysisError::Replay`] if the elements change from step to step; [`AnalysisError::Format`] if a file cannot be read.
pub fn replay(
    run: &Run,
    optimizers: &[Optimizer],
    decay: Decay,
    last_step: i64,
) -> Result<Vec<TensorReplay>, AnalysisError> {
    let manifest = run.manifest();
    let prerequisites = Prerequisites::read(run)?;
    for &optimizer in optimizers {
        if let Some(obstacle) = prerequisites.obstacle(optimizer, last_step) {
            return Err(not_recorded(run, format!("moments of {optimizer} cannot be replayed: {obstacle}")));
        }
    }
    let overflowed = overflowed_steps(run)?;
    let moments = |numel| optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, numel)).collect();
    let fault = |tensor: usize, (step, reason)| {
        let tensor = manifest.tensors[tensor].name.clone();
        AnalysisError::Replay { run: run.dir().to_owned(), tensor, step, reason }
    };
    let mut tensors: Vec<TensorReplay> = manifest.tensors.iter().map(|_| TensorReplay::default()).collect();
    for batch in run.magnitudes() {
        let batch = batch?;
        for rows in segments(&batch) {
            let (step, tensor) = (batch.step.value(rows.start), batch.tensor[rows.start] as usize);
            let is_gradient = manifest.quantities[batch.quantity[rows.start] as usize] == GRADIENT;
            if is_gradient && step <= last_step && !overflowed.contains(&step) {
                let shard = tensors[tensor].shards.entry(batch.rank).or_default();
                shard.take(&batch, rows, moments).map_err(|reason| fault(tensor, reason))?;
            }
        }
    }
    for (index, tensor) in tensors.iter_mut().enumerate() {
        tensor.finish(manifest.tensors[index].recorded_elements, moments).map_err(|reason| fault(index, reason))?;
    }
    Ok(tensors)
}

impl TensorReplay {
    /// The critical ε of every recorded element, rank by rank, for one of the optimizers asked for.
    pub fn critical_epsilon(&self, optimizer: usize) -> Vec<f32> {
        self.shards.values().flat_map(|shard| shard.moments[optimizer].critical_epsilon()).collect()
    }

    /// Ends the last step; what the ranks recorded must then be as many distinct elements as the manifest states.
    fn finish(
        &mut self,
        recorded_elements: u64,
        moments: impl Fn(usize) -> Vec<Moments> + Copy,
    ) -> Result<(), (i64, String)> {
        let mut elements: Vec<i64> = Vec::new();
        for shard in self.shards.values_mut() {
            shard.end_step(moments)?;
            elements.extend(&shard.elements);
        }
        let Some(step) = self.shards.values().map(|shard| shard.step).max() else { return Ok(()) };
        elements.sort_unstable();
        if let Some(twice) = elements.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
            return Err((step, format!("element {twice} is there twice")));
        }
        if elements.len() as u64 != recorded_elements {
            return Err((
                step,
                format!("{} elements: expected {recorded_elements}, as the manifest states", elements.len()),
            ));
        }
        Ok(())
    }
}

impl Shard {
    /// Takes some of the elements of a step, in order; with the first of another step the one before has ended.
    fn take(
        &mut self,
        batch: &MagnitudeBatch,
        rows: Range<usize>,
        moments: impl Fn(usize) -> Vec<Moments>,
    ) -> Result<(), (i64, String)> {
        let step = batch.step.value(rows.start);
        if step != self.step {
            self.end_step(moments)?;
            self.step = step;
        }
        let elements = &batch.element.values()[rows.clone()];
        let start = self.gradients.len();
        if self.moments.is_empty() {
            self.elements.extend_from_slice(elements);
        } else if self.elements.get(start..start + elements.len()) != Some(elements) {
            return Err((step, "expected the same elements as at the first step".to_owned()));
        }
        self.gradients.extend(rows.map(|row| signed(batch, row)));
        Ok(())
    }

    /// Moves the moments by the gradients taken; at the first step `moments` makes them.
    fn end_step(&mut self, moments: impl Fn(usize) -> Vec<Moments>) -> Result<(), (i64, String)> {
        if self.gradients.is_empty() {
            return Ok(());
        }
        if self.moments.is_empty() {
            self.moments = moments(self.elements.len());
        }
        let (found, expected) = (self.gradients.len(), self.elements.len());
        if found != expected {
            return Err((self.step, format!("{found} elements: expected {expected}, as at the first step")));
        }
        for moments in &mut self.moments {
            moments.update(0, &self.gradients);
            moments.end_step();
        }
        self.gradients.clear();
        Ok(())
    }
}

/// Runs of rows with the same step, tensor and quantity.
pub(crate) fn segments(batch: &MagnitudeBatch) -> impl Iterator<Item = Range<usize>> + '_ {
    let step = batch.step.values();
    let key = move |row: usize| (step[row], batch.tensor[row], batch.quantity[row]);
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = key((start < step.len()).then_some(start)?);
        let len = (start..step.len()).take_while(|&row| key(row) == first).count();
        let segment = start..start + len;
        start = segment.end;
        Some(segment)
    })
}

fn signed(batch: &MagnitudeBatch, row: usize) -> f32 {
    if batch.negative.value(row) { -batch.magnitude[row] } else { batch.magnitude[row] }
}

/// What a run must hold for its moments to be replayed.
pub(crate) struct Prerequisites<'a> {
    manifest: &'a Manifest,
    first_missing_step: Option<i64>,
}

impl<'a> Prerequisites<'a> {
    pub(crate) fn read(run: &'a Run) -> Result<Self, FormatError> {
        let first_missing_step = run.missing_steps()?.first().map(|&(first, _)| first);
        Ok(Self { manifest: run.manifest(), first_missing_step })
    }

    /// What keeps an optimizer's moments from being replayed up to a step, if anything does.
    ///
    /// A moment is a sum over all steps: one that is missing cannot be made up for.
    pub(crate) fn obstacle(&self, optimizer: Optimizer, last_step: i64) -> Option<String> {
        let has_gradients = self.manifest.tensors.iter().any(|tensor| tensor.recorded_elements > 0);
        let missing = self.first_missing_step.filter(|&missing| missing <= last_step);
        if !has_gradients {
            Some("no gradients were recorded: record with magnitudes".to_owned())
        } else if !self.manifest.cadence.is_every_step() {
            Some("not every step was recorded, as a moment needs".to_owned())
        } else if let Some(step) = missing {
            Some(format!("step {step} is missing, and a moment needs every step from 1"))
        } else if optimizer.needs_signs() && !self.manifest.signs {
            Some("it needs signs, which were not recorded".to_owned())
        } else {
            None
        }
    }
}

/// Steps that the optimizer skipped.
fn overflowed_steps(run: &Run) -> Result<BTreeSet<i64>, FormatError> {
    let mut overflowed = BTreeSet::new();
    for batch in run.steps() {
        let batch = batch?;
        overflowed.extend(batch.overflow.set_indices().map(|row| batch.step.value(row)));
    }
    Ok(overflowed)
}

pub(crate) fn not_recorded(run: &Run, reason: String) -> AnalysisError {
    AnalysisError::NotRecorded { run: run.dir().to_owned(), reason }
}

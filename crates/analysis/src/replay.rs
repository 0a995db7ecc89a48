//! Moments replayed offline: the recorded gradients of a run, run through the recursions of several optimizers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use epsiloscope_format::{FormatError, GRADIENT, MagnitudeBatch, Manifest, Run};
use epsiloscope_moments::{Decay, Moments, Optimizer};

use crate::error::AnalysisError;

/// The moments of every tensor's recorded elements, as far as the gradients have been taken.
///
/// One pass over `magnitudes` serves all optimizers. A step at which a tensor had no gradient does not move its
/// moments, as PyTorch's optimizers skip it; nor does one whose scaled gradients overflowed, as `GradScaler` skips it.
/// Only the moments and the gradients of one step are kept, however many steps there are.
pub(crate) struct Replay<'a> {
    run: &'a Run,
    /// Those whose moments are replayed.
    pub(crate) optimizers: Vec<Optimizer>,
    decay: Decay,
    overflowed: BTreeSet<i64>,
    /// In the manifest's order.
    tensors: Vec<TensorReplay>,
}

impl<'a> Replay<'a> {
    /// Moments before the first step.
    pub(crate) fn new(run: &'a Run, optimizers: Vec<Optimizer>, decay: Decay) -> Result<Self, FormatError> {
        let tensors = run.manifest().tensors.iter().map(|_| TensorReplay::default()).collect();
        Ok(Self { run, optimizers, decay, overflowed: overflowed_steps(run)?, tensors })
    }

    /// Takes rows of one step and tensor, rank by rank in the order of the table; what is no gradient is passed over.
    pub(crate) fn take(&mut self, batch: &MagnitudeBatch, rows: Range<usize>) -> Result<(), AnalysisError> {
        let (step, tensor) = (batch.step.value(rows.start), batch.tensor[rows.start] as usize);
        let is_gradient = self.run.manifest().quantities[batch.quantity[rows.start] as usize] == GRADIENT;
        if self.optimizers.is_empty() || !is_gradient || self.overflowed.contains(&step) {
            return Ok(());
        }
        let moments = moments(&self.optimizers, self.decay);
        let shard = self.tensors[tensor].shards.entry(batch.rank).or_default();
        shard.take(batch, rows, moments).map_err(|reason| fault(self.run, tensor, reason))
    }

    /// Ends the last step that was taken, of every rank.
    pub(crate) fn end_step(&mut self) -> Result<(), AnalysisError> {
        let moments = moments(&self.optimizers, self.decay);
        for (index, tensor) in self.tensors.iter_mut().enumerate() {
            let recorded_elements = self.run.manifest().tensors[index].recorded_elements;
            tensor.end_step(recorded_elements, &moments).map_err(|reason| fault(self.run, index, reason))?;
        }
        Ok(())
    }

    /// The critical ε of a tensor's recorded elements, rank by rank, after the steps ended; none if it never had a
    /// gradient.
    pub(crate) fn critical_epsilon(&self, tensor: usize, optimizer: usize) -> Vec<f32> {
        let shards = self.tensors[tensor].shards.values();
        shards.flat_map(|shard| shard.moments[optimizer].critical_epsilon()).collect()
    }
}

/// What makes the moments of so many elements.
fn moments(optimizers: &[Optimizer], decay: Decay) -> impl Fn(usize) -> Vec<Moments> + '_ {
    move |numel| optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, numel)).collect()
}

fn fault(run: &Run, tensor: usize, (step, reason): (i64, String)) -> AnalysisError {
    let tensor = run.manifest().tensors[tensor].name.clone();
    AnalysisError::Replay { run: run.dir().to_owned(), tensor, step, reason }
}

/// The moments of one tensor's recorded elements.
#[derive(Default)]
struct TensorReplay {
    /// What each rank recorded of it; nothing if the tensor never had a gradient.
    shards: BTreeMap<u32, Shard>,
    /// So many elements were found to be distinct, and as many as the manifest states.
    n_checked: usize,
}

/// The elements of a tensor that one rank recorded.
#[derive(Default)]
struct Shard {
    /// Ascending indices into the flattened tensor.
    elements: Vec<i64>,
    /// One per optimizer.
    moments: Vec<Moments>,
    /// The present step.
    step: i64,
    /// The gradients of the present step taken so far.
    gradients: Vec<f32>,
}

impl TensorReplay {
    /// Ends a step; what the ranks recorded must then be as many distinct elements as the manifest states.
    fn end_step(
        &mut self,
        recorded_elements: u64,
        moments: impl Fn(usize) -> Vec<Moments> + Copy,
    ) -> Result<(), (i64, String)> {
        for shard in self.shards.values_mut() {
            shard.end_step(moments)?;
        }
        let n_elements = self.shards.values().map(|shard| shard.elements.len()).sum();
        if n_elements == self.n_checked {
            return Ok(());
        }
        let step = self.shards.values().map(|shard| shard.step).max().unwrap_or(0);
        let mut elements: Vec<i64> = self.shards.values().flat_map(|shard| &shard.elements).copied().collect();
        elements.sort_unstable();
        if let Some(twice) = elements.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
            return Err((step, format!("element {twice} is there twice")));
        }
        if n_elements as u64 != recorded_elements {
            return Err((step, format!("{n_elements} elements: expected {recorded_elements}, as the manifest states")));
        }
        self.n_checked = n_elements;
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

/// The same among some of the rows.
pub(crate) fn segments_in(batch: &MagnitudeBatch, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let step = batch.step.values();
    let key = move |row: usize| (step[row], batch.tensor[row], batch.quantity[row]);
    let Range { mut start, end } = rows;
    std::iter::from_fn(move || {
        let first = key((start < end).then_some(start)?);
        let len = (start..end).take_while(|&row| key(row) == first).count();
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
pub(crate) fn overflowed_steps(run: &Run) -> Result<BTreeSet<i64>, FormatError> {
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

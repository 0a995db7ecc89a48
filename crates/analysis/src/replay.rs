//! Moments replayed offline: the recorded gradients of a run, run through the recursions of several optimizers at once.

use std::ops::Range;

use epsiloscope_format::{GRADIENT, MagnitudeBatch, Run};
use epsiloscope_moments::{Decay, Moments, Optimizer};

use crate::error::AnalysisError;

/// The moments of one tensor's recorded elements after the last replayed step.
#[derive(Debug)]
pub struct TensorReplay {
    /// Recorded elements, ascending indices into the flattened tensor.
    pub elements: Vec<i64>,
    /// One per optimizer asked for, in that order.
    pub moments: Vec<Moments>,
    /// Elements of the present step taken so far.
    cursor: usize,
}

/// Replays the gradients of steps 1 to `last_step` for every tensor of the manifest, in its order.
///
/// One pass over `magnitudes` serves all optimizers. A step at which a tensor had no gradient does not move its moments, as
/// PyTorch's optimizers skip it.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run holds no gradients or not every step; [`AnalysisError::Replay`] if
/// the elements change from step to step; [`AnalysisError::Format`] if a file cannot be read.
pub fn replay(
    run: &Run,
    optimizers: &[Optimizer],
    decay: Decay,
    last_step: i64,
) -> Result<Vec<TensorReplay>, AnalysisError> {
    require_every_step(run, last_step)?;
    let manifest = run.manifest();
    let Some(gradient) = manifest.quantities.iter().position(|quantity| quantity == GRADIENT) else {
        return Err(not_recorded(run, "gradients were not recorded".to_owned()));
    };
    let mut tensors: Vec<TensorReplay> = manifest
        .tensors
        .iter()
        .map(|tensor| TensorReplay::new(optimizers, decay, tensor.recorded_elements as usize))
        .collect();
    let mut gradients = Vec::new();
    for batch in run.magnitudes() {
        let batch = batch?;
        for segment in segments(&batch) {
            let step = batch.step.value(segment.start);
            if batch.quantity[segment.start] != gradient as u32 || step > last_step {
                continue;
            }
            gradients.clear();
            gradients.extend(segment.clone().map(|row| signed(&batch, row)));
            let tensor = batch.tensor[segment.start] as usize;
            let elements = &batch.element.values()[segment];
            tensors[tensor].take(elements, &gradients).map_err(|reason| AnalysisError::Replay {
                run: run.dir().to_owned(),
                tensor: manifest.tensors[tensor].name.clone(),
                step,
                reason,
            })?;
        }
    }
    Ok(tensors)
}

impl TensorReplay {
    fn new(optimizers: &[Optimizer], decay: Decay, numel: usize) -> Self {
        let moments = optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, numel)).collect();
        Self { elements: Vec::new(), moments, cursor: 0 }
    }

    /// Takes some of the elements of a step, in order.
    fn take(&mut self, elements: &[i64], gradients: &[f32]) -> Result<(), String> {
        let numel = self.moments.first().map_or(0, Moments::numel);
        let range = self.cursor..self.cursor + elements.len();
        if range.end > numel {
            return Err(format!("more than the {numel} elements that the manifest states"));
        }
        if self.elements.len() < range.end {
            self.elements.extend_from_slice(elements);
        }
        if self.elements[range.clone()] != *elements {
            return Err("expected the same elements as at the first step".to_owned());
        }
        for moments in &mut self.moments {
            moments.update(range.start, gradients);
            if range.end == numel {
                moments.end_step();
            }
        }
        self.cursor = if range.end == numel { 0 } else { range.end };
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

/// A moment is a sum over all steps: one that is missing cannot be made up for.
fn require_every_step(run: &Run, last_step: i64) -> Result<(), AnalysisError> {
    let mut expected = 1;
    for batch in run.steps() {
        for &step in batch?.step.values() {
            if step != expected && expected <= last_step {
                let reason = format!("step {expected} is missing: replaying a moment needs every step from 1");
                return Err(not_recorded(run, reason));
            }
            expected += 1;
        }
    }
    Ok(())
}

pub(crate) fn not_recorded(run: &Run, reason: String) -> AnalysisError {
    AnalysisError::NotRecorded { run: run.dir().to_owned(), reason }
}

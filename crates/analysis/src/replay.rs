//! Moments replayed offline: the recorded gradients of a run, run through the recursions of several optimizers at once.

use std::ops::Range;

use epsiloscope_format::{GRADIENT, MagnitudeBatch, Run, Table, TensorInfo};
use epsiloscope_moments::{Decay, Moments, Optimizer};

use crate::error::AnalysisError;

/// The moments of one tensor's recorded elements after the last replayed step.
#[derive(Debug)]
pub struct TensorReplay {
    /// Recorded elements, ascending indices into the flattened tensor.
    pub elements: Vec<i64>,
    /// One per optimizer asked for, in that order; none if the tensor never had a gradient.
    pub moments: Vec<Moments>,
    /// Elements that were recorded at every step.
    numel: usize,
    /// Elements of the present step taken so far; 0 between steps.
    cursor: usize,
    /// The step of the last element taken.
    step: i64,
}

/// Replays the gradients of steps 1 to `last_step` for every tensor of the manifest, in its order.
///
/// One pass over `magnitudes` serves all optimizers. A step at which a tensor had no gradient does not move its
/// moments, as PyTorch's optimizers skip it.
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
    // No tensor has more elements than there are rows, whatever the manifest states.
    let rows: u64 = run.parts(Table::Magnitudes).map(|part| part.rows).sum();
    let numel = |tensor: &TensorInfo| tensor.recorded_elements.min(rows) as usize;
    let mut tensors: Vec<TensorReplay> =
        manifest.tensors.iter().map(|tensor| TensorReplay::new(numel(tensor))).collect();
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
            let begin = |numel| optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, numel)).collect();
            tensors[tensor].take(step, elements, &gradients, begin).map_err(|reason| AnalysisError::Replay {
                run: run.dir().to_owned(),
                tensor: manifest.tensors[tensor].name.clone(),
                step,
                reason,
            })?;
        }
    }
    match tensors.iter().position(|tensor| tensor.cursor > 0) {
        None => Ok(tensors),
        Some(index) => Err(AnalysisError::Replay {
            run: run.dir().to_owned(),
            tensor: manifest.tensors[index].name.clone(),
            step: tensors[index].step,
            reason: format!("ends after {} elements: expected {}", tensors[index].cursor, tensors[index].numel),
        }),
    }
}

impl TensorReplay {
    fn new(numel: usize) -> Self {
        Self { elements: Vec::new(), moments: Vec::new(), numel, cursor: 0, step: 0 }
    }

    /// Takes some of the elements of a step, in order; at the first one `begin` makes the moments.
    fn take(
        &mut self,
        step: i64,
        elements: &[i64],
        gradients: &[f32],
        begin: impl FnOnce(usize) -> Vec<Moments>,
    ) -> Result<(), String> {
        let numel = self.numel;
        if self.cursor > 0 && step != self.step {
            return Err(format!(
                "follows {} elements at step {}: expected {numel} at every step",
                self.cursor, self.step
            ));
        }
        self.step = step;
        if self.moments.is_empty() {
            self.moments = begin(numel);
        }
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

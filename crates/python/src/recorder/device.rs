//! What tensor operations count by (`epsiloscope_recording::rows`), and what of their counts comes back.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_histogram::device as bins;
use epsiloscope_recording::{EnginePlan, observation, rows};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::view::bytes;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("N_SLOTS", bins::N_SLOTS)?;
    module.add("INFINITY_BITS", bins::INFINITY_BITS)?;
    module.add("ROW", rows::ROW)?;
    module.add("LANES", rows::LANES)?;
    module.add_function(wrap_pyfunction!(edges, module)?)
}

/// The first magnitude bits of every slot, as 32-bit integers, to be put where gradients are.
#[pyfunction]
fn edges(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &bytes(&bins::edges(), i32::to_ne_bytes))
}

/// What one device found: counts, summaries of rows and samples of several quantities of tensors, one after the other.
pub(super) struct Found<'a> {
    pub(super) counts: &'a [i32],
    /// [`rows::RowSummary`] of every row.
    pub(super) summaries: &'a [i32],
    pub(super) samples: &'a [f32],
}

/// One quantity of one tensor that was counted.
pub(super) struct Key {
    pub(super) tensor: usize,
    /// Index of the optimizer whose critical ε it is; `None` if it is the gradient.
    pub(super) optimizer: Option<usize>,
    /// Whether values come with it.
    pub(super) is_sampled: bool,
}

impl Found<'_> {
    /// The observations, in the order of the keys; `None` if lengths do not fit.
    pub(super) fn observations(&self, plan: &EnginePlan, keys: &[Key]) -> Option<Vec<Observation>> {
        let (mut rows, mut samples) = (self.summaries.as_chunks().0, self.samples);
        if self.counts.len() != keys.len() * bins::N_SLOTS {
            return None;
        }
        let mut observations = Vec::with_capacity(keys.len());
        for (key, counts) in keys.iter().zip(self.counts.chunks(bins::N_SLOTS)) {
            let numel = plan.tensors.get(key.tensor)?.numel;
            let (own, others) = rows.split_at_checked(rows::rows_of(numel))?;
            rows = others;
            let observed = rows::observed(counts, own, own.len() * rows::ROW - numel);
            let sample = if key.is_sampled { Some(take_sample(&mut samples, plan, key)?) } else { None };
            let quantity = match key.optimizer {
                None => plan.quantities.gradient,
                Some(optimizer) => *plan.quantities.critical_epsilon.get(optimizer)?,
            };
            observations.push(observation((key.tensor, quantity), observed, sample));
        }
        (rows.is_empty() && samples.is_empty()).then_some(observations)
    }
}

fn take_sample(samples: &mut &[f32], plan: &EnginePlan, key: &Key) -> Option<Sample> {
    let tensor = plan.tensors.get(key.tensor)?;
    let elements = match key.optimizer {
        None => tensor.recorded()?,
        Some(_) => Elements::From(tensor.offset),
    };
    let n_values = match &elements {
        Elements::Listed(elements) => elements.len(),
        Elements::From(_) => tensor.numel,
    };
    let (own, rest) = samples.split_at_checked(n_values)?;
    *samples = rest;
    Some(Sample { elements, values: own.to_vec() })
}

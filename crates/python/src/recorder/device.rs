//! The table by which tensor operations count (`epsiloscope_histogram::device`), and what of their counts comes back.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_histogram::{Summary, device as bins};
use epsiloscope_moments::Observed;
use epsiloscope_recording::{EnginePlan, observation};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::view::bytes;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("N_SLOTS", bins::N_SLOTS)?;
    module.add("MIN_NORMAL_BITS", bins::MIN_NORMAL_BITS)?;
    module.add("CELL_SHIFT", bins::CELL_SHIFT)?;
    module.add("SUBNORMAL_CELLS", bins::SUBNORMAL_CELLS)?;
    module.add("NEG_INF_BITS", bins::NEG_INF_BITS)?;
    module.add("NEG_INF_OFFSET", bins::NEG_INF_OFFSET)?;
    module.add_function(wrap_pyfunction!(slot_table, module)?)
}

/// The table that takes a float's cell to its slot, as 32-bit integers, to be put where gradients are.
#[pyfunction]
fn slot_table(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &bytes(&bins::table(), i32::to_ne_bytes))
}

/// What one device found: counts, summaries and samples of several quantities of tensors, one after the other.
pub(super) struct Found<'a> {
    pub(super) counts: &'a [i32],
    /// Least non-zero magnitude (∞ if there is none), greatest finite one (−1), sum of squares.
    pub(super) summaries: &'a [f64],
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
        let counts = self.counts.chunks_exact(bins::N_SLOTS);
        let summaries = self.summaries.as_chunks::<3>().0;
        if counts.len() != keys.len() || summaries.len() != keys.len() {
            return None;
        }
        let mut samples = self.samples;
        let mut observations = Vec::with_capacity(keys.len());
        for ((key, counts), summary) in keys.iter().zip(counts).zip(summaries) {
            let counts: Vec<u64> = counts.iter().map(|&count| u64::from(count.unsigned_abs())).collect();
            let observed = Observed { histogram: bins::histogram(&counts), summary: read_summary(summary) };
            let sample = if key.is_sampled { Some(take_sample(&mut samples, plan, key)?) } else { None };
            let quantity = match key.optimizer {
                None => plan.quantities.gradient,
                Some(optimizer) => *plan.quantities.critical_epsilon.get(optimizer)?,
            };
            observations.push(observation((key.tensor, quantity), observed, sample));
        }
        samples.is_empty().then_some(observations)
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

fn read_summary(&[min, max, sum_of_squares]: &[f64; 3]) -> Summary {
    Summary {
        min_nonzero: min.is_finite().then_some(min as f32),
        max: (0.0 <= max).then_some(max as f32),
        sum_of_squares,
    }
}

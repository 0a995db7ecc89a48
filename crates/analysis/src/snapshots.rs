//! The critical ε of every element as the recorder took them: at which steps, and what they are at one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use epsiloscope_format::{
    FormatError, HistogramBatch, MagnitudeBatch, Manifest, PartEntry, Run, TensorBatch, TensorInfo,
};
use epsiloscope_histogram::Histogram;
use epsiloscope_moments::Optimizer;

use crate::critical_epsilon::CriticalEpsilon;

/// The optimizer whose critical ε each quantity of a manifest holds.
pub(crate) fn optimizers_of_quantities(manifest: &Manifest) -> Vec<Option<Optimizer>> {
    let of_quantity = |name: &String| Optimizer::ALL.into_iter().find(|optimizer| optimizer.quantity() == *name);
    manifest.quantities.iter().map(of_quantity).collect()
}

/// What the recorder took of critical ε, and when.
#[derive(Default)]
pub(crate) struct Taken {
    /// Elements looked at, after a step, of an optimizer's critical ε.
    n_elements: BTreeMap<(i64, Optimizer), u64>,
    /// The steps at which every element's value was kept, beside its bin.
    pub(crate) value_steps: BTreeSet<i64>,
}

impl Taken {
    pub(crate) fn read(run: &Run) -> Result<Self, FormatError> {
        let manifest = run.manifest();
        let optimizers = optimizers_of_quantities(manifest);
        let mut taken = Self::default();
        for batch in run.tensors() {
            let batch = batch?;
            for row in 0..batch.step.len() {
                if let Some(optimizer) = optimizers[batch.quantity[row] as usize] {
                    let numel = batch.numel.value(row).max(0) as u64;
                    *taken.n_elements.entry((batch.step.value(row), optimizer)).or_default() += numel;
                }
            }
        }
        match manifest.critical_epsilon {
            Some(policy) if policy.elements && policy.every_step => {
                for batch in run.magnitudes() {
                    let batch = batch?;
                    let is_taken = |row: &usize| optimizers[batch.quantity[*row] as usize].is_some();
                    let steps = (0..batch.step.len()).filter(is_taken).map(|row| batch.step.value(row));
                    taken.value_steps.extend(steps);
                }
            }
            Some(policy) if policy.elements => taken.value_steps = taken.steps().collect(),
            _ => {}
        }
        Ok(taken)
    }

    /// The steps after which anything was taken, ascending.
    pub(crate) fn steps(&self) -> impl Iterator<Item = i64> + '_ {
        let mut previous = None;
        self.n_elements.keys().map(|&(step, _)| step).filter(move |&step| previous.replace(step) != Some(step))
    }

    /// The last step after which as much as possible is known: values if any were kept, else bins.
    pub(crate) fn last_step(&self) -> Option<i64> {
        self.value_steps.last().copied().or(self.steps().last())
    }

    /// Whether anything was taken of an optimizer after a step.
    pub(crate) fn has(&self, step: i64, optimizer: Optimizer) -> bool {
        self.n_elements.contains_key(&(step, optimizer))
    }

    /// Whether all elements of the run were looked at after a step.
    pub(crate) fn covers(&self, step: i64, optimizer: Optimizer, manifest: &Manifest) -> bool {
        let expected: u64 = manifest.tensors.iter().map(TensorInfo::numel).sum();
        self.n_elements.get(&(step, optimizer)).is_some_and(|&found| found >= expected)
    }
}

/// Index of the tensor in the manifest, and the optimizer.
type Key = (usize, Optimizer);

/// What the files hold of a histogram: zeros, NaN, +∞, −∞; bins and counts.
type Counts = ([u64; 4], Vec<(i32, u64)>);

/// What was taken after one step, in whichever order the rows of several ranks come.
pub(crate) struct Snapshot<'a> {
    step: i64,
    optimizers: &'a [Option<Optimizer>],
    values: BTreeMap<Key, Vec<f32>>,
    bins: BTreeMap<Key, Counts>,
}

impl<'a> Snapshot<'a> {
    /// Nothing yet; `optimizers` as by [`optimizers_of_quantities`].
    pub(crate) fn new(step: i64, optimizers: &'a [Option<Optimizer>]) -> Self {
        Self { step, optimizers, values: BTreeMap::new(), bins: BTreeMap::new() }
    }

    /// Takes rows of one step, tensor and quantity.
    pub(crate) fn take_values(&mut self, batch: &MagnitudeBatch, rows: Range<usize>) {
        if let Some(key) = self.key(batch.step.value(rows.start), batch.tensor[rows.start], batch.quantity[rows.start])
        {
            self.values.entry(key).or_default().extend_from_slice(&batch.magnitude[rows]);
        }
    }

    /// Takes what is counted apart from bins.
    pub(crate) fn take_apart(&mut self, batch: &TensorBatch, rows: Range<usize>) {
        for row in rows {
            if let Some(key) = self.key(batch.step.value(row), batch.tensor[row], batch.quantity[row]) {
                let columns = [&batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf];
                let (apart, _) = self.bins.entry(key).or_default();
                apart.iter_mut().zip(columns).for_each(|(count, column)| *count += column.value(row) as u64);
            }
        }
    }

    /// Takes bins.
    pub(crate) fn take_bins(&mut self, batch: &HistogramBatch, rows: Range<usize>) {
        for row in rows {
            if let Some(key) = self.key(batch.step.value(row), batch.tensor[row], batch.quantity[row]) {
                let (_, bins) = self.bins.entry(key).or_default();
                bins.push((batch.bin.value(row), batch.count.value(row) as u64));
            }
        }
    }

    fn key(&self, step: i64, tensor: u32, quantity: u32) -> Option<Key> {
        let optimizer = self.optimizers[quantity as usize].filter(|_| step == self.step)?;
        Some((tensor as usize, optimizer))
    }

    /// Every element's value. What lacks elements says nothing certain.
    pub(crate) fn values(&self, tensor: usize, optimizer: Optimizer, numel: u64) -> Option<CriticalEpsilon> {
        let values = self.values.get(&(tensor, optimizer)).filter(|values| values.len() as u64 == numel)?;
        Some(CriticalEpsilon::from_values(values, true))
    }

    /// Every element's bin.
    pub(crate) fn bins(&self, tensor: usize, optimizer: Optimizer, numel: u64) -> Option<CriticalEpsilon> {
        let (apart, bins) = self.bins.get(&(tensor, optimizer))?;
        let histogram = Histogram::from_bins(bins.iter().copied()).with_counted_apart(*apart);
        (histogram.numel() == numel).then_some(CriticalEpsilon::Bins(histogram))
    }
}

/// Whether a part may hold one of some steps.
pub(crate) fn holds_any(part: &PartEntry, steps: &BTreeSet<i64>) -> bool {
    part.first_step <= part.last_step && steps.range(part.first_step..=part.last_step).next().is_some()
}

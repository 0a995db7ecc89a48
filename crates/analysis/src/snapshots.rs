//! The critical ε of every element as the recorder took them, at the last step that has them.

use std::collections::BTreeMap;

use epsiloscope_format::{FormatError, Run, TensorInfo};
use epsiloscope_histogram::Histogram;
use epsiloscope_moments::Optimizer;

use crate::critical_epsilon::CriticalEpsilon;
use crate::replay::segments;

/// Every element's value if the recorder kept them, else every element's bin.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// The step after which they were taken.
    pub(crate) step: Option<i64>,
    /// By tensor and optimizer.
    found: BTreeMap<Key, CriticalEpsilon>,
}

/// Index of the tensor in the manifest, and the optimizer.
type Key = (usize, Optimizer);

impl Snapshots {
    pub(crate) fn read(run: &Run) -> Result<Self, FormatError> {
        let manifest = run.manifest();
        let of_quantity = |name: &String| Optimizer::ALL.into_iter().find(|optimizer| optimizer.quantity() == *name);
        let optimizers: Vec<Option<Optimizer>> = manifest.quantities.iter().map(of_quantity).collect();
        if manifest.critical_epsilon.is_some_and(|policy| policy.elements) {
            let values = read_values(run, &optimizers)?;
            if values.step.is_some() {
                return Ok(values);
            }
        }
        read_bins(run, &optimizers)
    }

    pub(crate) fn get(&self, tensor: usize, optimizer: Optimizer) -> Option<&CriticalEpsilon> {
        self.found.get(&(tensor, optimizer))
    }

    pub(crate) fn take(&mut self, tensor: usize, optimizer: Optimizer) -> Option<CriticalEpsilon> {
        self.found.remove(&(tensor, optimizer))
    }
}

fn read_values(run: &Run, optimizers: &[Option<Optimizer>]) -> Result<Snapshots, FormatError> {
    let mut latest: Latest<Vec<f32>> = Latest::default();
    for batch in run.magnitudes() {
        let batch = batch?;
        for rows in segments(&batch) {
            let (step, tensor) = (batch.step.value(rows.start), batch.tensor[rows.start] as usize);
            let optimizer = optimizers[batch.quantity[rows.start] as usize];
            if let Some(values) = optimizer.and_then(|optimizer| latest.at(step, (tensor, optimizer))) {
                values.extend_from_slice(&batch.magnitude[rows]);
            }
        }
    }
    Ok(latest
        .finish(&run.manifest().tensors, |values| (values.len() as u64, CriticalEpsilon::from_values(&values, true))))
}

/// What the files hold of a histogram: zeros, NaN, +∞, −∞; bins and counts.
type Counts = ([u64; 4], Vec<(i32, u64)>);

fn read_bins(run: &Run, optimizers: &[Option<Optimizer>]) -> Result<Snapshots, FormatError> {
    let mut latest: Latest<Counts> = Latest::default();
    for batch in run.tensors() {
        let batch = batch?;
        for row in 0..batch.step.len() {
            let key = |optimizer| (batch.tensor[row] as usize, optimizer);
            let optimizer = optimizers[batch.quantity[row] as usize];
            if let Some((apart, _)) = optimizer.and_then(|known| latest.at(batch.step.value(row), key(known))) {
                let columns = [&batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf];
                apart.iter_mut().zip(columns).for_each(|(count, column)| *count += column.value(row) as u64);
            }
        }
    }
    for batch in run.histograms() {
        let batch = batch?;
        for row in 0..batch.step.len() {
            let key = |optimizer| (batch.tensor[row] as usize, optimizer);
            let optimizer = optimizers[batch.quantity[row] as usize];
            if let Some((_, bins)) = optimizer.and_then(|known| latest.at(batch.step.value(row), key(known))) {
                bins.push((batch.bin.value(row), batch.count.value(row) as u64));
            }
        }
    }
    Ok(latest.finish(&run.manifest().tensors, |(apart, bins)| {
        let histogram = Histogram::from_bins(bins).with_counted_apart(apart);
        (histogram.numel(), CriticalEpsilon::Bins(histogram))
    }))
}

/// What the last step holds, in whichever order the rows of several ranks come.
#[derive(Default)]
struct Latest<T> {
    step: Option<i64>,
    found: BTreeMap<Key, T>,
}

impl<T: Default> Latest<T> {
    /// Where to put what a step holds, unless a later one is known.
    fn at(&mut self, step: i64, key: Key) -> Option<&mut T> {
        if self.step < Some(step) {
            self.step = Some(step);
            self.found.clear();
        }
        (self.step == Some(step)).then(|| self.found.entry(key).or_default())
    }

    /// `known` gives the number of elements and what is known of them. What lacks elements says nothing certain.
    fn finish(self, tensors: &[TensorInfo], known: impl Fn(T) -> (u64, CriticalEpsilon)) -> Snapshots {
        let complete = |(key, found): (Key, T)| {
            let (numel, critical) = known(found);
            (numel == tensors[key.0].numel()).then_some((key, critical))
        };
        Snapshots { step: self.step, found: self.found.into_iter().filter_map(complete).collect() }
    }
}

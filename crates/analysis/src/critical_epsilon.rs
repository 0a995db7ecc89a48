//! The critical ε of every tensor's elements, from whatever the run holds.

use std::collections::BTreeMap;

use epsiloscope_format::{Manifest, Run};
use epsiloscope_histogram::Histogram;
use epsiloscope_moments::{Decay, Optimizer};

use crate::error::AnalysisError;
use crate::estimate::{EstimateOptions, Method};
use crate::replay::{TensorReplay, not_recorded, replay};

/// What is known of one optimizer's critical ε in a run.
pub(crate) struct Known {
    pub(crate) optimizer: Optimizer,
    pub(crate) decay: Decay,
    /// The step after which it was taken.
    pub(crate) step: i64,
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
        /// Whether every element was recorded.
        complete: bool,
    },
    /// Every element's bin.
    Bins(Histogram),
}

impl CriticalEpsilon {
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

/// The critical ε of each optimizer asked for, every tensor by the most exact method that the run allows.
pub(crate) fn critical_epsilons(run: &Run, options: &EstimateOptions) -> Result<Vec<Known>, AnalysisError> {
    let manifest = run.manifest();
    let recorded = manifest.critical_epsilon_decay.map(|rates| Decay { beta1: rates.beta1, beta2: rates.beta2 });
    let usual = recorded.unwrap_or_default();
    let decay = Decay { beta1: options.beta1.unwrap_or(usual.beta1), beta2: options.beta2.unwrap_or(usual.beta2) };
    let is_complete = manifest.tensors.iter().all(|tensor| tensor.recorded_elements == tensor.numel());
    // Snapshots are of no use if every element was recorded, or if they were taken at other decay rates.
    let wanted = !is_complete && recorded == Some(decay);
    let snapshots = if wanted { Snapshots::read(run)? } else { Snapshots::default() };
    let step = snapshots.step.unwrap_or(run.last_step());
    let has_magnitudes = manifest.tensors.iter().any(|tensor| tensor.recorded_elements > 0);
    let replayed = if has_magnitudes { replay(run, &options.optimizers, decay, step)? } else { Vec::new() };
    let known = |(slot, &optimizer): (usize, &Optimizer)| {
        let tensor = |index: usize| tensor_critical_epsilon(manifest, &replayed, &snapshots, index, slot, optimizer);
        let tensors: Vec<CriticalEpsilon> = (0..manifest.tensors.len()).map(tensor).collect();
        if tensors.iter().all(|tensor| matches!(tensor, CriticalEpsilon::Unknown)) {
            let reason = format!(
                "holds neither gradients nor critical epsilons of {optimizer} at these decay rates: \
                 record with magnitudes, or with this optimizer among the critical epsilons"
            );
            return Err(not_recorded(run, reason));
        }
        Ok(Known { optimizer, decay, step, tensors })
    };
    options.optimizers.iter().enumerate().map(known).collect()
}

/// The most exact source of one tensor: all values, else all bins, else a sample.
fn tensor_critical_epsilon(
    manifest: &Manifest,
    replayed: &[TensorReplay],
    snapshots: &Snapshots,
    tensor: usize,
    slot: usize,
    optimizer: Optimizer,
) -> CriticalEpsilon {
    let info = &manifest.tensors[tensor];
    let complete = info.recorded_elements == info.numel();
    let snapshot = snapshots.histograms.get(&(tensor as u32, optimizer));
    match snapshot {
        Some(histogram) if !complete => CriticalEpsilon::Bins(histogram.clone()),
        _ if info.recorded_elements == 0 => CriticalEpsilon::Unknown,
        _ => match replayed.get(tensor).and_then(|replay| replay.moments.get(slot)) {
            Some(moments) if moments.steps() > 0 => from_values(&moments.critical_epsilon(), complete),
            // Never had a gradient: the optimizer never moved it.
            _ => CriticalEpsilon::Values { sorted: Vec::new(), zeros: info.recorded_elements, non_finite: 0, complete },
        },
    }
}

fn from_values(values: &[f32], complete: bool) -> CriticalEpsilon {
    let zeros = values.iter().filter(|&&value| value == 0.0).count() as u64;
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite() && *value != 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let non_finite = values.len() as u64 - zeros - sorted.len() as u64;
    CriticalEpsilon::Values { sorted, zeros, non_finite, complete }
}

/// Critical ε of every element, binned while recording, at the last step that has them.
#[derive(Default)]
struct Snapshots {
    step: Option<i64>,
    histograms: BTreeMap<(u32, Optimizer), Histogram>,
}

impl Snapshots {
    fn read(run: &Run) -> Result<Self, AnalysisError> {
        let manifest = run.manifest();
        let of_quantity = |name: &String| Optimizer::ALL.into_iter().find(|optimizer| optimizer.quantity() == *name);
        let optimizers: Vec<Option<Optimizer>> = manifest.quantities.iter().map(of_quantity).collect();
        let mut snapshots = Self::default();
        for batch in run.tensors() {
            let batch = batch?;
            for row in 0..batch.step.len() {
                if let Some(optimizer) = optimizers[batch.quantity[row] as usize] {
                    snapshots.begin(batch.step.value(row));
                    let apart = [&batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf];
                    let apart = apart.map(|column| column.value(row) as u64);
                    let key = (batch.tensor[row], optimizer);
                    snapshots.histograms.insert(key, Histogram::from_bins([]).with_counted_apart(apart));
                }
            }
        }
        snapshots.read_bins(run, &optimizers)?;
        Ok(snapshots)
    }

    /// Later snapshots replace earlier ones.
    fn begin(&mut self, step: i64) {
        if self.step != Some(step) {
            self.step = Some(step);
            self.histograms.clear();
        }
    }

    fn read_bins(&mut self, run: &Run, optimizers: &[Option<Optimizer>]) -> Result<(), AnalysisError> {
        let mut pairs: BTreeMap<(u32, Optimizer), Vec<(i32, u64)>> = BTreeMap::new();
        for batch in run.histograms() {
            let batch = batch?;
            for row in 0..batch.step.len() {
                let optimizer = optimizers[batch.quantity[row] as usize];
                if let Some(optimizer) = optimizer.filter(|_| Some(batch.step.value(row)) == self.step) {
                    let pair = (batch.bin.value(row), batch.count.value(row) as u64);
                    pairs.entry((batch.tensor[row], optimizer)).or_default().push(pair);
                }
            }
        }
        for (key, pairs) in pairs {
            if let Some(histogram) = self.histograms.get_mut(&key) {
                *histogram = std::mem::take(histogram).merged(&Histogram::from_bins(pairs));
            }
        }
        // A histogram that lacks elements says nothing certain; the sample, if there is one, is asked instead.
        let tensors = &run.manifest().tensors;
        self.histograms.retain(|&(tensor, _), histogram| histogram.numel() == tensors[tensor as usize].numel());
        Ok(())
    }
}

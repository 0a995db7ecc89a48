//! The critical ε of a run of which only gradient magnitude histograms are known: [`kept_ranks`](crate::kept_ranks),
//! tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use epsiloscope_format::{FormatError, GRADIENT, HistogramBatch, Manifest, Run, SourceBins, TensorBatch};
use epsiloscope_histogram::{BINS_PER_DECADE, BinRange, Histogram};
use epsiloscope_moments::{Decay, Optimizer};

use crate::at::At;
use crate::critical_epsilon::{CriticalEpsilon, Known};
use crate::cursor::Cursor;
use crate::error::AnalysisError;
use crate::estimate::{EstimateOptions, ReadFrom};
use crate::kept_ranks::{Place, Places, RankMoments};
use crate::replay::{not_recorded, overflowed_steps};
use crate::window::epochs;

/// Whether gradients' histograms are to be asked: if they were named, or the run can hold nothing else.
pub(crate) fn is_asked(manifest: &Manifest, options: &EstimateOptions) -> bool {
    let is_all = manifest.imported.as_ref().is_some_and(|imported| imported.bins.is_some());
    options.read_from.map_or(is_all, |from| from == ReadFrom::Gradients)
}

/// Hands over the critical ε of each optimizer asked for after each step asked for, as
/// [`visit_critical_epsilons`](crate::critical_epsilon::visit_critical_epsilons) does.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run holds no gradients' histograms, an optimizer that is required, or every one, needs
/// more than those, or there is nothing at the steps asked for; else what reading brings, or what `visit` returns.
pub(crate) fn visit_from_gradients(
    run: &Run,
    options: &EstimateOptions,
    mut visit: impl FnMut(&Known) -> Result<(), AnalysisError>,
) -> Result<(), AnalysisError> {
    let manifest = run.manifest();
    let quantity = manifest.quantity_index(GRADIENT).filter(|&quantity| manifest.histograms_hold(quantity));
    let quantity = quantity.ok_or_else(|| not_recorded(run, "no histograms of gradients were recorded".to_owned()))?;
    let decay = decay(manifest, options);
    let optimizers = options.denominators();
    let is_answered = |optimizer: Optimizer| RankMoments::new(0, decay.beta2).envelope(optimizer, true).is_some();
    let refused: Vec<Optimizer> = optimizers.iter().copied().filter(|&optimizer| !is_answered(optimizer)).collect();
    if let Some(&optimizer) = refused.first()
        && (options.all_required || refused.len() == optimizers.len())
    {
        return Err(not_recorded(run, needs_elements(optimizer)));
    }
    let stops = stops(run, options.at)?;
    let first_missing = run.missing_steps()?.first().map(|&(first, _)| first);
    let mut pass = Pass::begin(run, quantity as u32, decay.beta2)?;
    for step in stops {
        pass.advance(step)?;
        let are_steps_known = is_every_step(manifest) && first_missing.is_none_or(|missing| step < missing);
        for &optimizer in optimizers.iter().filter(|optimizer| !refused.contains(optimizer)) {
            let tensors = pass.tensors.iter().zip(&manifest.tensors);
            let tensors = tensors.map(|(tensor, info)| tensor.critical(info.numel(), optimizer, are_steps_known));
            visit(&Known { optimizer, decay, step, restarted_after: None, tensors: tensors.collect() })?;
        }
    }
    Ok(())
}

fn needs_elements(optimizer: Optimizer) -> String {
    format!(
        "histograms of gradients do not tell {optimizer}'s moments, which need the gradients element by element: expected \
         adam, radam, rmsprop, adagrad or eadam, or a run recorded with magnitudes"
    )
}

/// Whether the histograms of all steps are those of all optimizer steps.
fn is_every_step(manifest: &Manifest) -> bool {
    manifest.cadence.is_every_step() && manifest.imported.as_ref().is_none_or(|imported| imported.every_step)
}

/// As asked for, as recorded, as the training loop's optimizer has them, or the usual ones.
fn decay(manifest: &Manifest, options: &EstimateOptions) -> Decay {
    let usual = Decay::default();
    let (recorded, own) = (manifest.critical_epsilon, &manifest.optimizer);
    let beta1 = options.beta1.or(recorded.map(|policy| policy.beta1)).or(own.beta1);
    let beta2 = options.beta2.or(recorded.map(|policy| policy.beta2)).or(own.beta2);
    Decay { beta1: beta1.unwrap_or(usual.beta1), beta2: beta2.unwrap_or(usual.beta2) }
}

/// The steps asked for, ascending.
fn stops(run: &Run, at: At) -> Result<Vec<i64>, AnalysisError> {
    let last_step = run.last_step();
    let mut asked: Vec<i64> = match at {
        At::Last => vec![last_step],
        At::Epoch => epochs(run)?.into_iter().map(|steps| *steps.end()).collect(),
        At::Step(step) => vec![step],
        At::Every(n) => (1..=last_step / n.get()).map(|index| index * n.get()).collect(),
        At::All => Vec::new(),
    };
    asked.retain(|&step| step <= last_step);
    if asked.is_empty() {
        let reason =
            format!("no critical epsilon is known at {at} (the run has {last_step} steps): ask with --at last");
        return Err(not_recorded(run, reason));
    }
    Ok(asked)
}

/// What bins of a run say of the magnitudes that they count.
struct RunPlaces(Option<SourceBins>);

impl Places for RunPlaces {
    fn of_bin(&self, bin: i32) -> Place {
        let own = BinRange { bin, bins_per_decade: BINS_PER_DECADE };
        let (low, high) = self.0.map_or_else(|| (own.lower(), own.upper()), |source| source.range(bin));
        Place { low, middle: own.middle(), high }
    }

    fn of_zeros(&self) -> Place {
        Place { low: 0.0, middle: 0.0, high: self.0.map_or(0.0, |source| source.least) }
    }
}

/// The histograms of a run, read step by step.
struct Pass<'a> {
    quantity: u32,
    beta2: f64,
    places: RunPlaces,
    /// Those not taken yet, ascending, without those that the optimizer skipped.
    steps: std::iter::Peekable<std::vec::IntoIter<i64>>,
    counts: Vec<Cursor<'a, TensorBatch>>,
    histograms: Vec<Cursor<'a, HistogramBatch>>,
    /// In the manifest's order.
    tensors: Vec<Taken>,
}

/// What was taken of a tensor.
enum Taken {
    /// No gradient yet.
    Nothing,
    Moments(RankMoments),
    /// Gradients that are not finite: whose they are, histograms do not say.
    NotFinite,
}

/// A tensor's gradient at one step, of all ranks.
#[derive(Default)]
struct Gathered {
    zeros: u64,
    non_finite: u64,
    bins: BTreeMap<i32, u64>,
}

impl<'a> Pass<'a> {
    fn begin(run: &'a Run, quantity: u32, beta2: f64) -> Result<Self, FormatError> {
        let overflowed = overflowed_steps(run)?;
        let mut steps = BTreeSet::new();
        for batch in run.steps() {
            steps.extend(batch?.step.values().iter().filter(|step| !overflowed.contains(step)));
        }
        let ranks = 0..run.n_ranks();
        Ok(Self {
            quantity,
            beta2,
            places: RunPlaces(run.manifest().imported.as_ref().and_then(|imported| imported.bins)),
            steps: steps.into_iter().collect::<Vec<_>>().into_iter().peekable(),
            counts: ranks.clone().map(|rank| Cursor::new(run.tensors_of(rank, |_part| true))).collect(),
            histograms: ranks.map(|rank| Cursor::new(run.histograms_of(rank, |_part| true))).collect(),
            tensors: run.manifest().tensors.iter().map(|_| Taken::Nothing).collect(),
        })
    }

    /// Takes every step up to this one.
    fn advance(&mut self, stop: i64) -> Result<(), AnalysisError> {
        while let Some(step) = self.steps.next_if(|&step| step <= stop) {
            for (tensor, gathered) in self.gather(step)? {
                let numel = gathered.zeros + gathered.bins.values().sum::<u64>();
                self.tensors[tensor].take(gathered, numel, self.beta2, &self.places);
            }
        }
        Ok(())
    }

    /// The gradients of a step, by tensor.
    fn gather(&mut self, step: i64) -> Result<BTreeMap<usize, Gathered>, AnalysisError> {
        let mut gathered: BTreeMap<usize, Gathered> = BTreeMap::new();
        let quantity = self.quantity;
        for rank in &mut self.counts {
            rank.through(step, |batch, rows| {
                for row in rows.filter(|&row| batch.step.value(row) == step && batch.quantity[row] == quantity) {
                    let of = gathered.entry(batch.tensor[row] as usize).or_default();
                    of.zeros += batch.zeros.value(row) as u64;
                    let apart = [&batch.nan, &batch.pos_inf, &batch.neg_inf];
                    of.non_finite += apart.map(|column| column.value(row) as u64).iter().sum::<u64>();
                }
                Ok(())
            })?;
        }
        for rank in &mut self.histograms {
            rank.through(step, |batch, rows| {
                for row in rows.filter(|&row| batch.step.value(row) == step && batch.quantity[row] == quantity) {
                    let of = gathered.entry(batch.tensor[row] as usize).or_default();
                    *of.bins.entry(batch.bin.value(row)).or_default() += batch.count.value(row) as u64;
                }
                Ok(())
            })?;
        }
        Ok(gathered)
    }
}

impl Taken {
    fn take(&mut self, gathered: Gathered, numel: u64, beta2: f64, places: &RunPlaces) {
        let Gathered { zeros, non_finite, bins } = gathered;
        if matches!(self, Self::Nothing) {
            *self = Self::Moments(RankMoments::new(numel, beta2));
        }
        match self {
            Self::Moments(moments) if non_finite == 0 && moments.numel() == numel => {
                moments.take(&Histogram::from_bins(bins).with_counted_apart([zeros, 0, 0, 0]), places);
            }
            _ => *self = Self::NotFinite,
        }
    }

    fn critical(&self, numel: u64, optimizer: Optimizer, are_steps_known: bool) -> CriticalEpsilon {
        match self {
            Self::Nothing => CriticalEpsilon::Bins(Histogram::default().with_counted_apart([numel, 0, 0, 0])),
            Self::NotFinite => CriticalEpsilon::NotFinite,
            Self::Moments(moments) => {
                moments.envelope(optimizer, are_steps_known).map_or(CriticalEpsilon::Unknown, CriticalEpsilon::Between)
            }
        }
    }
}

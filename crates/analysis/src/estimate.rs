//! The search space of ε from a recorded run, by the method of Silva & Rodriguez (arXiv 2311.11532).
//!
//! Per tensor, the critical ε of every element after step T is sorted, exact zeros dropped; with p = 0.98 the
//! tensor's bounds are the order statistics of index `int((1−p)·n)` and `int(p·n)`. The run's lower bound is the
//! least of the lower ones over the tensors, its upper bound the greatest of the upper ones, and the search space
//! lies between the powers of ten nearest to them.
//!
//! How the critical ε of a tensor is known decides how exact its bounds are:
//!
//! | method | from | error |
//! |---|---|---|
//! | `exact` | every element's gradients, replayed, or its critical ε as recorded | none |
//! | `bins` | every element's critical ε, binned while recording | within one bin, a factor of 10^(1/40) = 1.06 |
//! | `sample` | a sample's gradients, replayed | confidence interval |
//!
//! Half decades are bin edges (40 bins per decade is even), so the powers of ten that come out of bins are the exact
//! ones.

use epsiloscope_format::{Manifest, Mode, Run};
use epsiloscope_histogram::{BinRange, Histogram};
use epsiloscope_moments::{Decay, Optimizer};

use crate::critical_epsilon::{CriticalEpsilon, Known, critical_epsilons};
use crate::error::AnalysisError;
use crate::order_statistics::{confidence_ranks, indices};
use crate::replay::not_recorded;

/// What to estimate, and how.
#[derive(Clone, Debug)]
pub struct EstimateOptions {
    /// For which optimizers.
    pub optimizers: Vec<Optimizer>,
    /// Decay rate of their first moments; `None` for the one the run was recorded with, or 0.9.
    pub beta1: Option<f64>,
    /// Decay rate of their second moments; `None` for the one the run was recorded with, or 0.999.
    pub beta2: Option<f64>,
    /// p: the share of each tensor's elements that the upper bound leaves below it, in `(0.5, 1)`.
    pub percentile: f64,
    /// Probability with which all intervals of a sampled estimate hold together.
    pub confidence: f64,
}

impl Default for EstimateOptions {
    /// The paper's p = 0.98 with the run's own decay rates, for every optimizer; intervals of 95 %.
    fn default() -> Self {
        Self { optimizers: Optimizer::DEFAULT.to_vec(), beta1: None, beta2: None, percentile: 0.98, confidence: 0.95 }
    }
}

/// How the critical ε of a tensor's elements is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Every element, as a value.
    Exact,
    /// Every element, by bin.
    Bins,
    /// A sample of the elements, as values.
    Sample,
}

impl Method {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bins => "bins",
            Self::Sample => "sample",
        }
    }
}

/// An order statistic and where it lies for certain, or with the stated confidence if it comes from a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Its value; for bins the geometric middle of the one that holds it.
    pub value: f64,
    /// It is no smaller than this; `None` if the sample is too small to tell.
    pub low: Option<f64>,
    /// It is no greater than this; `None` if the sample is too small to tell.
    pub high: Option<f64>,
}

/// The bounds that one tensor sets.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorEstimate {
    /// The tensor's name.
    pub tensor: String,
    /// Its elements.
    pub numel: u64,
    /// How their critical ε is known.
    pub method: Method,
    /// Finite, non-zero values that were ordered: n.
    pub sample_size: u64,
    /// Values that are exactly zero, left out as the paper does.
    pub zeros: u64,
    /// Values that are infinite or not a number, left out.
    pub non_finite: u64,
    /// The lower order statistic.
    pub lower: Bound,
    /// The upper order statistic.
    pub upper: Bound,
}

/// A bound of the run: the outermost of its tensors' bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct RunBound {
    /// The bound, and how exact it is.
    pub bound: Bound,
    /// The tensor that sets it.
    pub tensor: String,
    /// The value that the other tensors would set; `None` if there is no other.
    pub without: Option<f64>,
}

/// A tensor that sets no bound, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The tensor's name.
    pub tensor: String,
    /// Why.
    pub reason: String,
}

/// The ε that the run was trained with, seen against its own critical ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnEpsilon {
    /// The optimizer's ε.
    pub epsilon: f64,
    /// Share of elements whose critical ε is smaller, where ε outweighs the gradient. At most this much, if bins are
    /// known: of a bin that ε divides, all elements count.
    pub share_below: f64,
    /// Whether every element was looked at; if not, the share is a sample's.
    pub complete: bool,
}

/// The search space of ε for one optimizer, from one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The run's name.
    pub run: String,
    /// Whether its weights moved.
    pub mode: Mode,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Decay rates of its moments.
    pub decay: Decay,
    /// p.
    pub percentile: f64,
    /// The L2 coefficient that was added to the gradients, 0 if none.
    pub coupled_weight_decay: f64,
    /// T, the step after which the critical ε was taken.
    pub step: i64,
    /// The last complete step of the run.
    pub last_step: i64,
    /// The step after which the recorder's moments began again from zero, because recording was resumed without them;
    /// `None` if they go back to step 1, or were replayed.
    pub restarted_after: Option<i64>,
    /// Whether the recording ended in order.
    pub finished: bool,
    /// The least of the tensors' lower bounds.
    pub lower: RunBound,
    /// The greatest of the tensors' upper bounds.
    pub upper: RunBound,
    /// Every tensor that sets bounds, by name.
    pub tensors: Vec<TensorEstimate>,
    /// Every tensor that does not.
    pub left_out: Vec<LeftOut>,
    /// The run's own ε, if it was trained with this optimizer.
    pub own: Option<OwnEpsilon>,
}

impl Estimate {
    /// The exponents k of the search space `[10^k_lower, 10^k_upper]`.
    pub fn exponents(&self) -> (i32, i32) {
        (nearest_power(self.lower.bound.value), nearest_power(self.upper.bound.value))
    }

    /// The width of the search space in decades.
    pub fn decades(&self) -> i32 {
        let (lower, upper) = self.exponents();
        upper - lower
    }
}

/// The exponent of the power of ten nearest on the logarithmic axis, ties to even as Python rounds.
pub fn nearest_power(value: f64) -> i32 {
    value.log10().round_ties_even() as i32
}

/// Estimates the search space of ε for each optimizer asked for.
///
/// The critical ε is taken after the last step; where not every element's gradients can be replayed, after the step of
/// the last snapshot.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run holds neither gradients of every step nor snapshots for an optimizer, or
/// no tensor has a non-zero gradient; otherwise what reading and replaying the run brings.
pub fn estimate(run: &Run, options: &EstimateOptions) -> Result<Vec<Estimate>, AnalysisError> {
    let known = critical_epsilons(run, options)?;
    known.iter().map(|known| estimate_from(run, options, known)).collect()
}

pub(crate) fn estimate_from(run: &Run, options: &EstimateOptions, known: &Known) -> Result<Estimate, AnalysisError> {
    let manifest = run.manifest();
    let n_sampled = known.tensors.iter().filter(|tensor| tensor.method() == Some(Method::Sample)).count();
    // Each sampled tensor has two bounds with two ends each; together they miss no more often than stated (Bonferroni).
    let miss = (1.0 - options.confidence) / (4 * n_sampled.max(1)) as f64;
    let (mut tensors, mut left_out) = (Vec::new(), Vec::new());
    for (info, critical) in manifest.tensors.iter().zip(&known.tensors) {
        match tensor_bounds(critical, options.percentile, miss) {
            Ok((lower, upper, method)) => tensors.push(TensorEstimate {
                tensor: info.name.clone(),
                numel: info.numel(),
                method,
                sample_size: critical.sample_size(),
                zeros: critical.zeros(),
                non_finite: critical.non_finite(),
                lower,
                upper,
            }),
            Err(reason) => left_out.push(LeftOut { tensor: info.name.clone(), reason: reason.to_owned() }),
        }
    }
    let nothing = || not_recorded(run, format!("no tensor has a non-zero critical epsilon of {}", known.optimizer));
    Ok(Estimate {
        run: manifest.run.clone(),
        mode: manifest.mode,
        optimizer: known.optimizer,
        decay: known.decay,
        percentile: options.percentile,
        coupled_weight_decay: manifest.gradient.coupled_weight_decay,
        step: known.step,
        last_step: run.last_step(),
        restarted_after: known.restarted_after,
        finished: run.is_finished(),
        lower: lower_bound(&tensors).ok_or_else(nothing)?,
        upper: upper_bound(&tensors).ok_or_else(nothing)?,
        own: own_epsilon(manifest, known),
        tensors,
        left_out,
    })
}

/// A tensor's two bounds, or why it has none.
fn tensor_bounds(critical: &CriticalEpsilon, p: f64, miss: f64) -> Result<(Bound, Bound, Method), &'static str> {
    match critical {
        CriticalEpsilon::Unknown => Err("not recorded"),
        _ if critical.sample_size() == 0 && critical.non_finite() > 0 => Err("no finite non-zero gradient"),
        _ if critical.sample_size() == 0 => Err("every gradient is zero"),
        CriticalEpsilon::Bins(histogram) => {
            let (lower, upper) = indices(p, histogram.total() as usize);
            Ok((binned_bound(histogram, lower), binned_bound(histogram, upper), Method::Bins))
        }
        CriticalEpsilon::Values { sorted, complete: true, .. } => {
            let (lower, upper) = indices(p, sorted.len());
            Ok((exact_bound(sorted[lower]), exact_bound(sorted[upper]), Method::Exact))
        }
        CriticalEpsilon::Values { sorted, complete: false, .. } => {
            let (lower, upper) = indices(p, sorted.len());
            Ok((
                sampled_bound(sorted, lower, confidence_ranks(sorted.len(), 1.0 - p, miss)),
                sampled_bound(sorted, upper, confidence_ranks(sorted.len(), p, miss)),
                Method::Sample,
            ))
        }
    }
}

fn exact_bound(value: f32) -> Bound {
    let value = f64::from(value);
    Bound { value, low: Some(value), high: Some(value) }
}

fn binned_bound(histogram: &Histogram, index: usize) -> Bound {
    let range = histogram.order_statistic(index as u64).expect("the index is below the total");
    Bound { value: BinRange::middle(range), low: Some(range.lower()), high: Some(range.upper()) }
}

fn sampled_bound(sorted: &[f32], index: usize, ranks: (Option<usize>, Option<usize>)) -> Bound {
    let at = |rank: usize| f64::from(sorted[rank]);
    Bound { value: at(index), low: ranks.0.map(at), high: ranks.1.map(at) }
}

fn lower_bound(tensors: &[TensorEstimate]) -> Option<RunBound> {
    let mut order: Vec<&TensorEstimate> = tensors.iter().collect();
    order.sort_by(|a, b| a.lower.value.total_cmp(&b.lower.value));
    let lowest = order.first()?;
    // An end that is not known reaches out to zero below, and never is the least above.
    let low = tensors.iter().map(|tensor| tensor.lower.low).collect::<Option<Vec<f64>>>();
    let high = tensors.iter().filter_map(|tensor| tensor.lower.high);
    Some(RunBound {
        bound: Bound {
            value: lowest.lower.value,
            low: low.and_then(|low| low.into_iter().min_by(f64::total_cmp)),
            high: high.min_by(f64::total_cmp),
        },
        tensor: lowest.tensor.clone(),
        without: order.get(1).map(|tensor| tensor.lower.value),
    })
}

fn upper_bound(tensors: &[TensorEstimate]) -> Option<RunBound> {
    let mut order: Vec<&TensorEstimate> = tensors.iter().collect();
    order.sort_by(|a, b| b.upper.value.total_cmp(&a.upper.value));
    let highest = order.first()?;
    let low = tensors.iter().filter_map(|tensor| tensor.upper.low);
    let high = tensors.iter().map(|tensor| tensor.upper.high).collect::<Option<Vec<f64>>>();
    Some(RunBound {
        bound: Bound {
            value: highest.upper.value,
            low: low.max_by(f64::total_cmp),
            high: high.and_then(|high| high.into_iter().max_by(f64::total_cmp)),
        },
        tensor: highest.tensor.clone(),
        without: order.get(1).map(|tensor| tensor.upper.value),
    })
}

/// Where the run's own ε lies among the critical ε of its own optimizer.
fn own_epsilon(manifest: &Manifest, known: &Known) -> Option<OwnEpsilon> {
    let own = match manifest.optimizer.name.as_str() {
        // Their denominators are Adam's.
        "adamw" | "nadam" => "adam",
        name => name,
    };
    if own != known.optimizer.name() {
        return None;
    }
    let epsilon = manifest.optimizer.epsilon;
    let (mut below, mut all) = (0.0, 0.0);
    for (info, critical) in manifest.tensors.iter().zip(&known.tensors) {
        if critical.sample_size() > 0 {
            // A sample stands for as many elements of its tensor as its share of non-zero values says.
            let elements = info.numel() as f64 * critical.sample_size() as f64 / critical.n_looked_at() as f64;
            below += elements * critical.n_below(epsilon) as f64 / critical.sample_size() as f64;
            all += elements;
        }
    }
    let complete = known.tensors.iter().all(|critical| matches!(critical.method(), Some(Method::Exact | Method::Bins)));
    (all > 0.0).then(|| OwnEpsilon { epsilon, share_below: below / all, complete })
}

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
//! | `gradient` | histograms of the gradients, step by step | between what they allow, which is wide: as if every element kept its rank among its tensor's |
//!
//! Half decades are bin edges (40 bins per decade is even), so the powers of ten that come out of bins are the exact
//! ones.

use epsiloscope_format::{Manifest, Mode, Run};
use epsiloscope_moments::{Convention, Decay, Optimizer};

use crate::at::At;
use crate::combination::{Combination, Member, extremes, robust};
use crate::critical_epsilon::{Known, visit_critical_epsilons};
use crate::distribution::Distribution;
use crate::error::AnalysisError;
use crate::grouping::{Group, Grouping, Kind, Scope};
use crate::pooled::pooled;
use crate::replay::not_recorded;
use crate::search_grid::power_of_ten;
use crate::tensor_bounds::{Side, tensor_bounds};

/// A bias whose upper bound lies so many decades of gradients below that of the tensors above looks like rounding noise.
pub const ROUNDING_NOISE_DECADES: f64 = 3.0;

/// What to estimate, and how.
#[derive(Clone, Debug)]
pub struct EstimateOptions {
    /// For which optimizers, each with the ε of an implementation.
    pub optimizers: Vec<Convention>,
    /// Whether a run that tells nothing of one of them is refused; otherwise only a run that tells nothing of any is.
    pub all_required: bool,
    /// Decay rate of their first moments; `None` for the one the run was recorded with, or 0.9.
    pub beta1: Option<f64>,
    /// Decay rate of their second moments; `None` for the one the run was recorded with, or 0.999.
    pub beta2: Option<f64>,
    /// What critical ε are read off; `None` for what was recorded of them or can be replayed, and for the gradients'
    /// histograms only of runs that were imported and can hold nothing else.
    pub read_from: Option<ReadFrom>,
    /// After which steps.
    pub at: At,
    /// Over which tensors: [`Estimate::spaces`] has all of these.
    pub scopes: Vec<Scope>,
    /// How the bounds of several tensors become one: [`Estimate::spaces`] has all of these.
    pub combinations: Vec<Combination>,
    /// p: the share of each tensor's elements that the upper bound leaves below it, in `(0.5, 1)`.
    pub percentile: f64,
    /// Probability with which all intervals of a sampled estimate hold together.
    pub confidence: f64,
    /// Resamples of a sample from which bootstrap intervals come; 0 for none.
    pub bootstrap: u32,
    /// Of the resamples.
    pub seed: u64,
}

impl Default for EstimateOptions {
    /// The paper's p = 0.98 and its extremes over the run, at the end, with the run's own decay rates, for those of the
    /// paper's optimizers that the run tells of; intervals of 95 %, 1000 resamples.
    fn default() -> Self {
        Self {
            optimizers: Optimizer::DEFAULT.map(Convention::from).to_vec(),
            all_required: false,
            beta1: None,
            beta2: None,
            read_from: None,
            at: At::Last,
            scopes: vec![Scope::Run],
            combinations: vec![Combination::Extremes],
            percentile: 0.98,
            confidence: 0.95,
            bootstrap: 1000,
            seed: 0,
        }
    }
}

impl EstimateOptions {
    /// For the optimizers named, each once and none to be left out; for the usual ones if none is.
    pub fn of_optimizers(named: &[Convention]) -> Self {
        let usual = Self::default();
        if named.is_empty() {
            return usual;
        }
        let mut optimizers = named.to_vec();
        optimizers.sort_unstable_by_key(|convention| convention.index());
        optimizers.dedup_by_key(|convention| convention.index());
        Self { optimizers, all_required: true, ..usual }
    }

    /// Where an optimizer stands among those asked for.
    pub(crate) fn place(&self, convention: Convention) -> Option<usize> {
        self.optimizers.iter().position(|&asked| asked == convention)
    }

    /// Whose critical ε an optimizer's are, by the first name they were asked for under: `keras-adam (that of radam)`.
    pub(crate) fn asked_as(&self, optimizer: Optimizer) -> String {
        let asked = self.optimizers.iter().find(|asked| asked.optimizer() == optimizer);
        match asked.filter(|asked| asked.name() != optimizer.name()) {
            Some(asked) if asked.is_inside_root() => format!("{asked} (the square of that of {optimizer})"),
            Some(asked) => format!("{asked} (that of {optimizer})"),
            None => optimizer.to_string(),
        }
    }

    /// The optimizers whose moments are wanted, each once.
    pub(crate) fn denominators(&self) -> Vec<Optimizer> {
        let mut wanted: Vec<Optimizer> = self.optimizers.iter().map(|convention| convention.optimizer()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

/// What critical ε are read off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// Moments, as recorded or replayed.
    Moments,
    /// Histograms of the gradients of every step, which say nothing of single elements.
    Gradients,
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
    /// Every element's gradient by bin, but not whose it is: as if each kept its rank among its tensor's at every step.
    Gradient,
}

impl Method {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bins => "bins",
            Self::Sample => "sample",
            Self::Gradient => "gradient",
        }
    }
}

/// An order statistic and where it lies for certain, or with the stated confidence if it comes from a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Its value; for bins the geometric middle of the one that holds it.
    pub value: f64,
    /// It is no smaller than this; `None` if the sample is too small to tell, or histograms of gradients do not tell.
    pub low: Option<f64>,
    /// It is no greater than this; `None` likewise.
    pub high: Option<f64>,
    /// Between which values it falls in resamples of a sample, with the stated confidence each time; the value itself
    /// where every element is known exactly, `None` where it is known by bin alone. Bins are not resampled.
    pub bootstrap: Option<(f64, f64)>,
}

impl Bound {
    pub(crate) fn exact(value: f64) -> Self {
        Self { value, low: Some(value), high: Some(value), bootstrap: Some((value, value)) }
    }

    fn map(self, image: impl Fn(f64) -> f64) -> Self {
        Self {
            value: image(self.value),
            low: self.low.map(&image),
            high: self.high.map(&image),
            bootstrap: self.bootstrap.map(|(low, high)| (image(low), image(high))),
        }
    }
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

/// A bound that several tensors' elements set.
#[derive(Clone, Debug, PartialEq)]
pub struct CombinedBound {
    /// The bound, and how exact it is.
    pub bound: Bound,
    /// The tensor that sets it; of a pooled bound the one with the most elements in the bound's bin.
    pub tensor: String,
    /// How that tensor's critical ε is known; of a pooled bound the least exact of all tensors' methods.
    pub method: Method,
    /// That tensor's n; of a pooled bound all tensors'.
    pub sample_size: u64,
    /// The value that the other tensors would set; `None` if there is no other.
    pub without: Option<f64>,
}

impl CombinedBound {
    fn map(self, image: impl Fn(f64) -> f64 + Copy) -> Self {
        Self { bound: self.bound.map(image), without: self.without.map(image), ..self }
    }
}

/// The search space that some tensors set.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    /// What it is over.
    pub scope: Scope,
    /// The tensor, layer or kind; `None` for the run.
    pub name: Option<String>,
    /// How the tensors' bounds became one; `None` for a single tensor's own.
    pub combination: Option<Combination>,
    /// Where it begins.
    pub lower: CombinedBound,
    /// Where it ends.
    pub upper: CombinedBound,
    /// Names of the tensors that set bounds, ascending.
    pub tensors: Vec<String>,
    /// Their elements.
    pub numel: u64,
    /// Finite, non-zero values that were looked at.
    pub sample_size: u64,
    /// Values that are exactly zero.
    pub zeros: u64,
    /// Values that are infinite or not a number.
    pub non_finite: u64,
    /// The least exact of the tensors' methods.
    pub method: Method,
}

impl SearchSpace {
    /// The exponents k of the search space `[10^k_lower, 10^k_upper]`.
    pub fn exponents(&self) -> (i32, i32) {
        (nearest_power(self.lower.bound.value), nearest_power(self.upper.bound.value))
    }

    /// The ends of the search space, powers of ten.
    pub fn ends(&self) -> (f64, f64) {
        let (lower, upper) = self.exponents();
        (power_of_ten(lower), power_of_ten(upper))
    }

    /// Whether one of its tensors sets a bound of the run; over the run itself there is nothing to say.
    pub fn sets(&self, bound: &CombinedBound) -> bool {
        self.scope != Scope::Run && self.tensors.contains(&bound.tensor)
    }
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
    /// The optimizer, with the ε of an implementation.
    pub optimizer: Convention,
    /// Decay rates of its moments.
    pub decay: Decay,
    /// p.
    pub percentile: f64,
    /// Of the intervals.
    pub confidence: f64,
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
    pub lower: CombinedBound,
    /// The greatest of the tensors' upper bounds.
    pub upper: CombinedBound,
    /// The search spaces of the scopes and combinations asked for, scope by scope, by name.
    pub spaces: Vec<SearchSpace>,
    /// Every tensor that sets bounds, by name.
    pub tensors: Vec<TensorEstimate>,
    /// Every tensor that does not.
    pub left_out: Vec<LeftOut>,
    /// Biases whose gradients look like rounding noise, by name: their upper bounds lie at least
    /// [`ROUNDING_NOISE_DECADES`] of gradients below every other tensor's. A bias in front of a normalisation layer is one,
    /// and so is that of an attention's keys: the loss does not depend on it.
    pub rounding_noise: Vec<String>,
    /// The run's own ε, if it was trained with this optimizer.
    pub own: Option<OwnEpsilon>,
}

impl Estimate {
    /// The exponents k of the search space `[10^k_lower, 10^k_upper]`.
    pub fn exponents(&self) -> (i32, i32) {
        (nearest_power(self.lower.bound.value), nearest_power(self.upper.bound.value))
    }

    /// The ends of the search space, powers of ten.
    pub fn ends(&self) -> (f64, f64) {
        let (lower, upper) = self.exponents();
        (power_of_ten(lower), power_of_ten(upper))
    }

    /// The search space over the run by a combination, if it is among those asked for.
    pub fn space_of_run(&self, combination: Combination) -> Option<&SearchSpace> {
        self.spaces.iter().find(|space| space.scope == Scope::Run && space.combination == Some(combination))
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

/// Estimates the search space of ε for each optimizer, in the order asked for, after each step asked for.
///
/// One pass over the files serves all of them.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run holds neither gradients of every step nor snapshots for an optimizer that is
/// required, or for any; if no tensor has a non-zero gradient; or if nothing is known at the steps asked for. Otherwise
/// what reading and replaying the run brings.
pub fn estimate(run: &Run, options: &EstimateOptions) -> Result<Vec<Estimate>, AnalysisError> {
    let mut estimates = Vec::new();
    visit_estimates(run, options, |_known, estimate| estimates.push(estimate))?;
    estimates.sort_by_key(|estimate| options.place(estimate.optimizer));
    Ok(estimates)
}

/// Hands over each estimate with what it was made of, in the order of steps.
pub(crate) fn visit_estimates(
    run: &Run,
    options: &EstimateOptions,
    mut visit: impl FnMut(&Known, Estimate),
) -> Result<(), AnalysisError> {
    let grouping = Grouping::of(&run.manifest().tensors);
    visit_critical_epsilons(run, options, |known| {
        let of_optimizer = estimate_from(run, options, &grouping, known)?;
        for &convention in options.optimizers.iter().filter(|convention| convention.optimizer() == known.optimizer) {
            let own = own_epsilon(run.manifest(), known, convention);
            visit(known, Estimate { own, ..of_optimizer.clone().under(convention) });
        }
        Ok(())
    })
}

/// With the optimizer's own ε, and nothing said of the run's.
fn estimate_from(
    run: &Run,
    options: &EstimateOptions,
    grouping: &Grouping,
    known: &Known,
) -> Result<Estimate, AnalysisError> {
    let manifest = run.manifest();
    let (members, left_out) = members(manifest, options, known);
    let all: Vec<&Member<'_>> = members.iter().collect();
    let nothing = || {
        let asked = options.asked_as(known.optimizer);
        not_recorded(run, format!("no tensor has a non-zero critical epsilon of {asked}"))
    };
    let [lower, upper] = Side::BOTH.map(|side| extremes(&all, side, options.confidence));
    Ok(Estimate {
        run: manifest.run.clone(),
        mode: manifest.mode,
        optimizer: known.optimizer.into(),
        decay: known.decay,
        percentile: options.percentile,
        confidence: options.confidence,
        coupled_weight_decay: manifest.gradient.coupled_weight_decay,
        step: known.step,
        last_step: run.last_step(),
        restarted_after: known.restarted_after,
        finished: run.is_finished(),
        lower: lower.ok_or_else(nothing)?,
        upper: upper.ok_or_else(nothing)?,
        spaces: search_spaces(&members, options, grouping),
        rounding_noise: rounding_noise(&members, grouping, known.optimizer),
        own: None,
        tensors: members.into_iter().map(|member| member.estimate).collect(),
        left_out,
    })
}

/// The tensors that set bounds, in the manifest's order, and those that do not.
fn members<'a>(manifest: &Manifest, options: &EstimateOptions, known: &'a Known) -> (Vec<Member<'a>>, Vec<LeftOut>) {
    let n_sampled = known.tensors.iter().filter(|tensor| tensor.method() == Some(Method::Sample)).count();
    // Each sampled tensor has two bounds with two ends each; together they miss no more often than stated (Bonferroni).
    let miss = (1.0 - options.confidence) / (4 * n_sampled.max(1)) as f64;
    let (mut members, mut left_out) = (Vec::new(), Vec::new());
    for (tensor, (info, critical)) in manifest.tensors.iter().zip(&known.tensors).enumerate() {
        match tensor_bounds(critical, options, tensor, miss) {
            Ok(bounds) => {
                let [lower, upper] = bounds.bounds;
                let estimate = TensorEstimate {
                    tensor: info.name.clone(),
                    numel: info.numel(),
                    method: critical.method().expect("what has bounds is known"),
                    sample_size: critical.sample_size(),
                    zeros: critical.zeros(),
                    non_finite: critical.non_finite(),
                    lower,
                    upper,
                };
                members.push(Member { estimate, critical, replicates: bounds.replicates, tensor });
            }
            Err(reason) => left_out.push(LeftOut { tensor: info.name.clone(), reason: reason.to_owned() }),
        }
    }
    (members, left_out)
}

fn search_spaces(members: &[Member<'_>], options: &EstimateOptions, grouping: &Grouping) -> Vec<SearchSpace> {
    let mut spaces = Vec::new();
    for &scope in &options.scopes {
        // Of a single tensor there is nothing to combine.
        let each: Vec<Option<Combination>> = match scope {
            Scope::Tensor => vec![None],
            _ => options.combinations.iter().copied().map(Some).collect(),
        };
        for group in grouping.groups(scope) {
            let of_group = group.tensors.iter();
            let find = |tensor: &usize| members.binary_search_by_key(tensor, |member| member.tensor).ok();
            let of_group: Vec<&Member<'_>> = of_group.filter_map(find).map(|index| &members[index]).collect();
            spaces.extend(each.iter().filter_map(|&combination| space(&of_group, scope, group, combination, options)));
        }
    }
    spaces
}

/// `None` if no tensor of the group sets a bound.
fn space(
    members: &[&Member<'_>],
    scope: Scope,
    group: &Group,
    combination: Option<Combination>,
    options: &EstimateOptions,
) -> Option<SearchSpace> {
    let bound = |side| match combination {
        None | Some(Combination::Extremes) => extremes(members, side, options.confidence),
        Some(Combination::Pooled) => pooled(members, side, options),
        Some(Combination::Robust) => robust(members, side, options.confidence),
    };
    let sum = |of: fn(&TensorEstimate) -> u64| members.iter().map(|member| of(&member.estimate)).sum();
    Some(SearchSpace {
        scope,
        name: group.name.clone(),
        combination,
        lower: bound(Side::Lower)?,
        upper: bound(Side::Upper)?,
        tensors: members.iter().map(|member| member.estimate.tensor.clone()).collect(),
        numel: sum(|tensor| tensor.numel),
        sample_size: sum(|tensor| tensor.sample_size),
        zeros: sum(|tensor| tensor.zeros),
        non_finite: sum(|tensor| tensor.non_finite),
        method: members.iter().map(|member| member.estimate.method).max()?,
    })
}

/// See [`Estimate::rounding_noise`]. The biases below the widest gap between neighbouring upper bounds, if it is wide
/// enough and leaves fewer than half of the tensors below.
fn rounding_noise(members: &[Member<'_>], grouping: &Grouping, optimizer: Optimizer) -> Vec<String> {
    let mut order: Vec<(f64, &Member<'_>)> =
        members.iter().map(|member| (member.estimate.upper.value.log10(), member)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gaps = order.windows(2).map(|pair| pair[1].0 - pair[0].0).enumerate();
    let widest = gaps.filter(|&(index, _)| 2 * (index + 1) < order.len()).max_by(|a, b| a.1.total_cmp(&b.1));
    let wide_enough = ROUNDING_NOISE_DECADES * f64::from(optimizer.degree());
    let n_below = widest.filter(|&(_, gap)| gap >= wide_enough).map_or(0, |(index, _)| index + 1);
    let below = order[..n_below].iter().map(|(_, member)| member);
    let biases = below.filter(|member| grouping.kind(member.tensor) == Kind::Bias);
    let mut names: Vec<String> = biases.map(|member| member.estimate.tensor.clone()).collect();
    names.sort_unstable();
    names
}

impl Estimate {
    /// The same with an ε that shares the optimizer's moments.
    fn under(self, convention: Convention) -> Self {
        let image = |value| convention.critical_epsilon(value);
        let of_tensor = |tensor: TensorEstimate| TensorEstimate {
            lower: tensor.lower.map(image),
            upper: tensor.upper.map(image),
            ..tensor
        };
        let of_space =
            |space: SearchSpace| SearchSpace { lower: space.lower.map(image), upper: space.upper.map(image), ..space };
        Self {
            optimizer: convention,
            lower: self.lower.map(image),
            upper: self.upper.map(image),
            spaces: self.spaces.into_iter().map(of_space).collect(),
            tensors: self.tensors.into_iter().map(of_tensor).collect(),
            ..self
        }
    }
}

/// Where the run's own ε lies among the critical ε, if that is the ε of its own optimizer.
fn own_epsilon(manifest: &Manifest, known: &Known, convention: Convention) -> Option<OwnEpsilon> {
    let own: Convention = manifest.optimizer.name.parse().ok()?;
    if !convention.has_denominator_of(own) {
        return None;
    }
    let epsilon = manifest.optimizer.epsilon?;
    let all = Distribution::of(manifest.tensors.iter().zip(&known.tensors))?;
    let share_below = all.share_below(convention.optimizers_epsilon(epsilon), 1.0).value;
    Some(OwnEpsilon { epsilon, share_below, complete: all.method() != Method::Sample })
}

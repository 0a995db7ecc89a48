//! What a value of ε does to a run: how many elements it rules, in which regime that puts the optimizer, and at which
//! rates the elements then move.
//!
//! Below an element's critical ε its step is adaptive, above it plain momentum. So the share of elements with a
//! critical ε below ε says how far the optimizer is from either, its [`Regime`].
//!
//! The effective learning rate of an element is lr divided by its [denominator](crate::denominator). Far above all
//! critical ε that is the same for every element, and the optimizer is SGD with momentum β1, in PyTorch's form without
//! dampening, at the rate (1−β1)·lr / denominator: lr·(1−β1)/ε for Adam, lr·(1−β1)/sqrt(ε/(1−β2)) where ε is added in
//! place, without the factor for optimizers that have no first moment.
//!
//! Along that branch the best lr grows in proportion to the denominator. A candidate's *matched* learning rate is the
//! one at which the median element moves as fast as it does at the reference, the run's own ε and lr: the run's lr as long
//! as ε is far below the median critical ε, in proportion to ε, or to its root, far above it, and no kink between.

use epsiloscope_format::{Manifest, Run};
use epsiloscope_moments::{Convention, Decay, Optimizer};

use crate::combination::Combination;
use crate::critical_epsilon::Known;
use crate::denominator::Denominator;
use crate::distribution::Distribution;
pub use crate::distribution::Share;
use crate::error::AnalysisError;
use crate::estimate::{Estimate, EstimateOptions, Method, visit_estimates};
use crate::grouping::{Group, Grouping, Scope};
use crate::search_grid::{TrialRange, grid};

/// Below this share of elements an ε hardly changes any step; above one minus it, it rules nearly all of them.
pub const MARGINAL_SHARE: f64 = 0.01;

/// What an ε makes of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Regime {
    /// It outweighs the gradient in fewer than [`MARGINAL_SHARE`] of the elements: every smaller one does the same.
    NoEffect,
    /// Some elements step adaptively, others by momentum.
    Mixed,
    /// It outweighs the gradient in all but fewer than [`MARGINAL_SHARE`] of the elements: SGD with momentum.
    SgdLike,
}

impl Regime {
    /// Of a share of elements with smaller critical ε.
    pub fn of(share_below: f64) -> Self {
        if share_below < MARGINAL_SHARE {
            Self::NoEffect
        } else if share_below <= 1.0 - MARGINAL_SHARE {
            Self::Mixed
        } else {
            Self::SgdLike
        }
    }

    /// The words in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEffect => "no effect",
            Self::Mixed => "mixed",
            Self::SgdLike => "sgd-like",
        }
    }
}

/// Which values of ε to look at, and how.
#[derive(Clone, Debug)]
pub struct CandidateOptions {
    /// Whose critical ε, at which decay rates. Its percentile p also says which effective rates are low and high.
    pub estimate: EstimateOptions,
    /// Over what: shares and rates of each tensor, layer or kind, or of the whole run.
    pub scope: Scope,
    /// How the tensors' bounds become the search space of the run.
    pub combination: Combination,
    /// The candidates; if there are none, a [`grid`] over that search space.
    pub epsilons: Vec<f64>,
    /// How many points the grid has; `None` for every power of ten.
    pub points: Option<usize>,
    /// The learning rate at the reference; `None` for the run's own at its first step, if that is known.
    pub learning_rate: Option<f64>,
    /// What the search space is narrower than.
    pub trial_range: TrialRange,
}

impl Default for CandidateOptions {
    /// Every power of ten of the paper's search spaces, over the whole run, at the end.
    fn default() -> Self {
        Self {
            estimate: EstimateOptions::default(),
            scope: Scope::Run,
            combination: Combination::Extremes,
            epsilons: Vec::new(),
            points: None,
            learning_rate: None,
            trial_range: TrialRange::default(),
        }
    }
}

impl CandidateOptions {
    /// What is to be estimated, the search space of the run among it.
    pub(crate) fn with_search_space(&self) -> EstimateOptions {
        let mut estimate = self.estimate.clone();
        if !estimate.scopes.contains(&Scope::Run) {
            estimate.scopes.push(Scope::Run);
        }
        if !estimate.combinations.contains(&self.combination) {
            estimate.combinations.push(self.combination);
        }
        estimate
    }
}

/// Why an ε is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The run was trained with it: the reference.
    Own,
    /// The optimizer's default: the reference, since the run was trained with another optimizer.
    Default,
    /// It was asked for.
    Asked,
    /// It is of the recommended grid.
    Grid,
}

impl Role {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Default => "default",
            Self::Asked => "asked",
            Self::Grid => "grid",
        }
    }
}

/// What values of ε do to one optimizer after one step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// The run's name.
    pub run: String,
    /// The optimizer, with the ε of an implementation.
    pub optimizer: Convention,
    /// Decay rates of its moments.
    pub decay: Decay,
    /// The step.
    pub step: i64,
    /// How the tensors' bounds became the search space.
    pub combination: Combination,
    /// Exponents of the search space.
    pub search: (i32, i32),
    /// The range of trial and error for this optimizer.
    pub trial: (f64, f64),
    /// The learning rate at the reference; without it there are no rates.
    pub learning_rate: Option<f64>,
    /// The reference first, then candidates as asked for or ascending; of each, every part of the scope by name.
    pub effects: Vec<Effect>,
}

/// What one value of ε does to one part of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Over what.
    pub scope: Scope,
    /// The tensor's, layer's or kind's name.
    pub name: Option<String>,
    /// ε
    pub epsilon: f64,
    /// Why it is looked at.
    pub role: Role,
    /// The least exact of the ways in which the tensors' critical ε are known.
    pub method: Method,
    /// Values of critical ε that are known.
    pub sample_size: u64,
    /// Share of elements with smaller critical ε, those without a gradient left out. Its ends hold for certain, or with
    /// the estimate's confidence if some tensor was sampled.
    pub share_below: Share,
    /// What that makes of the optimizer.
    pub regime: Regime,
    /// Effective rates at the reference's learning rate, if that is known.
    pub rates: Option<Rates>,
    /// The rate of the SGD that this is, or would be if ε outweighed every gradient; `None` of an ε of 0 also.
    pub sgd_rate: Option<f64>,
    /// The learning rate to try with this ε, if the reference's is known.
    pub matched_learning_rate: Option<f64>,
}

/// How far elements move per unit of their gradients' mean: quantiles over the elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Quantile 1−p.
    pub low: f64,
    /// The middle one.
    pub median: f64,
    /// Quantile p.
    pub high: f64,
}

impl Candidates {
    /// The width of the search space in decades, from end to end.
    pub fn search_decades(&self) -> f64 {
        f64::from(self.search.1 - self.search.0)
    }

    /// The width of the range of trial and error in decades, from end to end.
    pub fn trial_decades(&self) -> f64 {
        self.trial.1.log10() - self.trial.0.log10()
    }

    /// How many times narrower the search space is than trial and error; `None` of a single power of ten.
    pub fn narrowing(&self) -> Option<f64> {
        (0.0 < self.search_decades()).then(|| self.trial_decades() / self.search_decades())
    }
}

/// What the run's own ε and candidates for it do, for each optimizer and step asked for.
///
/// # Errors
/// As [`estimate`](crate::estimate()).
pub fn candidates(run: &Run, options: &CandidateOptions) -> Result<Vec<Candidates>, AnalysisError> {
    // Nothing here rests on resamples, nor on other search spaces.
    let estimate = EstimateOptions {
        scopes: vec![Scope::Run],
        combinations: vec![options.combination],
        bootstrap: 0,
        ..options.estimate.clone()
    };
    let options = CandidateOptions { estimate, ..options.clone() };
    estimates_and_candidates(run, &options).map(|(_, candidates)| candidates)
}

/// Both at once, from one pass over the files. The estimates also have the search space that the candidates are of, if it
/// was not asked for.
///
/// # Errors
/// As [`estimate`](crate::estimate()).
pub fn estimates_and_candidates(
    run: &Run,
    options: &CandidateOptions,
) -> Result<(Vec<Estimate>, Vec<Candidates>), AnalysisError> {
    let mut both = Vec::new();
    visit_estimates(run, &options.with_search_space(), |known, estimate| {
        let candidates = candidates_from(run.manifest(), options, known, &estimate);
        both.push((estimate, candidates));
    })?;
    both.sort_by_key(|(estimate, _)| options.estimate.place(estimate.optimizer));
    Ok(both.into_iter().unzip())
}

pub(crate) fn candidates_from(
    manifest: &Manifest,
    options: &CandidateOptions,
    known: &Known,
    estimate: &Estimate,
) -> Candidates {
    let convention = estimate.optimizer;
    let search = estimate.space_of_run(options.combination).expect("it was asked for").exponents();
    let reference = estimate.own.map_or((convention.default_epsilon(), Role::Default), |own| (own.epsilon, Role::Own));
    let learning_rate = options.learning_rate.or(manifest.optimizer.learning_rate);
    let stepping = learning_rate.map(|rate| Stepping::of(estimate, rate));
    let parts = |scope| parts(manifest, known, scope, estimate);
    let median = parts(Scope::Run).first().map_or(f64::NAN, |all| all.critical.median);
    let shown = parts(options.scope);
    let mut effects = Vec::new();
    for (epsilon, role) in epsilons(reference, options, search) {
        let matched_learning_rate = stepping.as_ref().map(|stepping| stepping.matched(median, reference.0, epsilon));
        effects.extend(shown.iter().map(|part| {
            let share_below =
                part.distribution.share_below(convention.optimizers_epsilon(epsilon), 1.0 - estimate.confidence);
            Effect {
                scope: options.scope,
                name: part.name.clone(),
                epsilon,
                role,
                method: part.distribution.method(),
                sample_size: part.distribution.sample_size(),
                share_below,
                regime: Regime::of(share_below.value),
                rates: stepping.as_ref().map(|stepping| stepping.rates(part.critical, epsilon)),
                sgd_rate: stepping.as_ref().and_then(|stepping| stepping.sgd_rate(epsilon)),
                matched_learning_rate,
            }
        }));
    }
    Candidates {
        run: manifest.run.clone(),
        optimizer: convention,
        decay: estimate.decay,
        step: estimate.step,
        combination: options.combination,
        search,
        trial: options.trial_range.ends(convention),
        learning_rate,
        effects,
    }
}

/// The reference, then the candidates.
fn epsilons(reference: (f64, Role), options: &CandidateOptions, search: (i32, i32)) -> Vec<(f64, Role)> {
    let candidates: Vec<(f64, Role)> = match options.epsilons.as_slice() {
        [] => grid(search, options.points).into_iter().map(|epsilon| (epsilon, Role::Grid)).collect(),
        asked => asked.iter().map(|&epsilon| (epsilon, Role::Asked)).collect(),
    };
    [reference].into_iter().chain(candidates).collect()
}

/// The elements that one row is about.
pub(crate) struct Part<'a> {
    pub(crate) name: Option<String>,
    pub(crate) distribution: Distribution<'a>,
    pub(crate) critical: Quantiles,
}

/// Critical ε of which 1−p, half and p of the elements have smaller ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Quantile 1−p.
    pub low: f64,
    /// The middle one.
    pub median: f64,
    /// Quantile p.
    pub high: f64,
}

/// The parts of a run of whose elements something is known.
pub(crate) fn parts<'a>(manifest: &'a Manifest, known: &'a Known, scope: Scope, estimate: &Estimate) -> Vec<Part<'a>> {
    let p = estimate.percentile;
    let part = |group: &Group| {
        let members = group.tensors.iter().map(|&tensor| (&manifest.tensors[tensor], &known.tensors[tensor]));
        let distribution = Distribution::of(members)?;
        let [low, median, high] =
            [1.0 - p, 0.5, p].map(|share| estimate.optimizer.critical_epsilon(distribution.quantile(share)));
        Some(Part { name: group.name.clone(), distribution, critical: Quantiles { low, median, high } })
    };
    Grouping::of(&manifest.tensors).groups(scope).iter().filter_map(part).collect()
}

/// The part of a gradient that comes into the first moment: 1−β1, or all of it where there is none.
pub(crate) fn taken(optimizer: Convention, decay: Decay) -> f64 {
    match optimizer.optimizer() {
        Optimizer::RmsProp | Optimizer::RmsPropCentered | Optimizer::AdaGrad => 1.0,
        _ => 1.0 - decay.beta1,
    }
}

/// How an optimizer steps at a learning rate.
struct Stepping {
    denominator: Denominator,
    learning_rate: f64,
    /// See [`taken`].
    taken: f64,
}

impl Stepping {
    fn of(estimate: &Estimate, learning_rate: f64) -> Self {
        let denominator = Denominator::new(estimate.optimizer, estimate.decay, estimate.step);
        Self { denominator, learning_rate, taken: taken(estimate.optimizer, estimate.decay) }
    }

    fn rate(&self, critical: f64, epsilon: f64) -> f64 {
        self.learning_rate / self.denominator.at(critical, epsilon)
    }

    /// The greater an element's critical ε, the slower it moves.
    fn rates(&self, critical: Quantiles, epsilon: f64) -> Rates {
        let [low, median, high] =
            [critical.high, critical.median, critical.low].map(|critical| self.rate(critical, epsilon));
        Rates { low, median, high }
    }

    /// `None` of an ε of 0, which is no denominator.
    fn sgd_rate(&self, epsilon: f64) -> Option<f64> {
        Some(self.taken * self.rate(0.0, epsilon)).filter(|rate| rate.is_finite())
    }

    fn matched(&self, median: f64, reference: f64, epsilon: f64) -> f64 {
        self.learning_rate * (self.denominator.at(median, epsilon) / self.denominator.at(median, reference))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regimes_change_at_the_marginal_share() {
        let regimes = [0.0, 0.0099, 0.01, 0.5, 0.99, 0.9901, 1.0].map(Regime::of);
        let [a, b, c] = [Regime::NoEffect, Regime::Mixed, Regime::SgdLike];
        assert_eq!(regimes, [a, a, b, b, b, c, c]);
    }

    proptest! {
        #[test]
        fn prop_regimes_grow_with_the_share(share in 0.0..1.0f64, more in 0.0..1.0f64) {
            prop_assert!(Regime::of(share) <= Regime::of(share.max(more)));
        }

        /// The greater ε, the slower every element and the greater the learning rate that makes up for it; far above every
        /// gradient both are in proportion, and elements move as under SGD.
        #[test]
        fn prop_rates_fall_and_matched_rates_rise(
            of in 0..Convention::ALL.len(), exponents in [-20.0..2.0f64, -20.0..2.0f64], median in -12.0..0.0f64,
        ) {
            let denominator = Denominator::new(Convention::ALL[of], Decay::default(), 1000);
            let stepping = Stepping { denominator, learning_rate: 1e-3, taken: 0.1 };
            let [a, b, median] = [exponents[0], exponents[1], median].map(|exponent| 10f64.powf(exponent));
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(stepping.rate(median, more) <= stepping.rate(median, less));
            prop_assert!(stepping.matched(median, less, less) <= stepping.matched(median, less, more));
            let high = 1e12;
            let sgd = stepping.sgd_rate(high).unwrap() / stepping.taken;
            prop_assert!((stepping.rate(median, high) / sgd - 1.0).abs() < 1e-9);
            // What the median element loses in pace, its learning rate gains.
            let kept = stepping.matched(median, less, more) * stepping.rate(median, more);
            prop_assert!((kept / (1e-3 * stepping.rate(median, less)) - 1.0).abs() < 1e-9);
        }
    }
}

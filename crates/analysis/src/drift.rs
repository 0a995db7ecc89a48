//! How the bounds of ε move while a network trains, and whether its calibration foretold them.
//!
//! Takes [bounds along runs](crate::along) that are known already; reads no run.

use std::collections::BTreeMap;

use epsiloscope_format::Mode;
use polars::prelude::*;

use crate::along::{BoundsAt, Of, mode_name};
use crate::estimate::nearest_power;

/// Bounds after one step, seen from where they began and from what the calibration said.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift<'a> {
    /// The bounds.
    pub bounds: &'a BoundsAt,
    /// Decades from the lower bound after the first step looked at to this one.
    pub lower_shift: f64,
    /// The same of the upper bound.
    pub upper_shift: f64,
    /// What the calibration says; `None` of a calibration, or where there is none of its task.
    pub calibration: Option<FromCalibration<'a>>,
}

/// How far bounds are from those of a calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct FromCalibration<'a> {
    /// The calibration.
    pub run: &'a str,
    /// Decades from its lower bound to this one.
    pub lower: f64,
    /// Decades from its upper bound to this one.
    pub upper: f64,
    /// Whether its search space contains the search space at this step: the powers of ten nearest to the bounds.
    pub within: bool,
}

/// The drift of all bounds, in their order.
///
/// Each is held against the last step of a calibration of the same [task](epsiloscope_format::Manifest::task). Of
/// several, one of the same configuration goes before others, then one of the same seed, then the first by name.
pub fn drift(bounds: &[BoundsAt]) -> Vec<Drift<'_>> {
    let firsts = firsts(bounds);
    let calibrations = calibrations(bounds);
    let of_calibration = |at: &BoundsAt| {
        let candidates =
            calibrations.get(&(at.run.task.as_str(), &at.of)).filter(|_| at.run.mode != Mode::Calibration)?;
        let rank = |other: &&&BoundsAt| {
            let (run, own) = (&other.run, &at.run);
            (run.configuration != own.configuration, run.seed != own.seed, run.name.clone())
        };
        candidates.values().min_by_key(rank).map(|calibration| from_calibration(at, calibration))
    };
    let seen = |at| {
        let first = firsts[&series(at)];
        let (lower_shift, upper_shift) = shift(first, at);
        Drift { bounds: at, lower_shift, upper_shift, calibration: of_calibration(at) }
    };
    bounds.iter().map(seen).collect()
}

/// One row per bounds: where they are, how far they moved, and what the calibration said.
///
/// # Units
/// `lower` and `upper` are ε; shifts and distances are decades.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn drift_table(drifts: &[Drift<'_>]) -> PolarsResult<DataFrame> {
    let bounds = || drifts.iter().map(|drift| drift.bounds);
    let calibration = || drifts.iter().map(|drift| drift.calibration.as_ref());
    df![
        "run" => bounds().map(|at| at.run.name.as_str()).collect::<Vec<_>>(),
        "configuration" => bounds().map(|at| at.run.configuration.as_str()).collect::<Vec<_>>(),
        "mode" => bounds().map(|at| mode_name(at.run.mode)).collect::<Vec<_>>(),
        "optimizer" => bounds().map(|at| at.of.optimizer.as_str()).collect::<Vec<_>>(),
        "combination" => bounds().map(|at| at.of.combination.as_str()).collect::<Vec<_>>(),
        "scope" => bounds().map(|at| at.of.scope.as_str()).collect::<Vec<_>>(),
        "name" => bounds().map(|at| at.of.name.as_deref()).collect::<Vec<_>>(),
        "step" => bounds().map(|at| at.step).collect::<Vec<_>>(),
        "lower" => bounds().map(|at| at.lower).collect::<Vec<_>>(),
        "upper" => bounds().map(|at| at.upper).collect::<Vec<_>>(),
        "lower_shift" => drifts.iter().map(|drift| drift.lower_shift).collect::<Vec<_>>(),
        "upper_shift" => drifts.iter().map(|drift| drift.upper_shift).collect::<Vec<_>>(),
        "calibration_run" => calibration().map(|from| from.map(|from| from.run)).collect::<Vec<_>>(),
        "lower_from_calibration" => calibration().map(|from| from.map(|from| from.lower)).collect::<Vec<_>>(),
        "upper_from_calibration" => calibration().map(|from| from.map(|from| from.upper)).collect::<Vec<_>>(),
        "within_calibration" => calibration().map(|from| from.map(|from| from.within)).collect::<Vec<_>>(),
    ]
}

/// A run, and what its bounds are of.
fn series(at: &BoundsAt) -> (&str, &Of) {
    (&at.run.name, &at.of)
}

/// Of each series the bounds after its first step.
fn firsts(bounds: &[BoundsAt]) -> BTreeMap<(&str, &Of), &BoundsAt> {
    let mut firsts: BTreeMap<_, &BoundsAt> = BTreeMap::new();
    for at in bounds {
        let first = firsts.entry(series(at)).or_insert(at);
        *first = if at.step < first.step { at } else { first };
    }
    firsts
}

/// Of each task and what bounds are of, each calibration's after its last step.
fn calibrations(bounds: &[BoundsAt]) -> BTreeMap<(&str, &Of), BTreeMap<&str, &BoundsAt>> {
    let mut calibrations: BTreeMap<_, BTreeMap<&str, &BoundsAt>> = BTreeMap::new();
    for at in bounds.iter().filter(|at| at.run.mode == Mode::Calibration) {
        let runs = calibrations.entry((at.run.task.as_str(), &at.of)).or_default();
        let last = runs.entry(&at.run.name).or_insert(at);
        *last = if last.step < at.step { at } else { last };
    }
    calibrations
}

fn from_calibration<'a>(at: &BoundsAt, calibration: &'a BoundsAt) -> FromCalibration<'a> {
    let (lower, upper) = shift(calibration, at);
    let within = nearest_power(calibration.lower) <= nearest_power(at.lower)
        && nearest_power(at.upper) <= nearest_power(calibration.upper);
    FromCalibration { run: &calibration.run.name, lower, upper, within }
}

/// Decades from one pair of bounds to another.
fn shift(from: &BoundsAt, to: &BoundsAt) -> (f64, f64) {
    let decades = |from: f64, to: f64| to.log10() - from.log10();
    (decades(from.lower, to.lower), decades(from.upper, to.upper))
}

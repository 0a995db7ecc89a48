//! How the bounds of ε move while a network trains, and whether its calibration foretold them.
//!
//! Takes [bounds along runs](crate::along) that are known already; reads no run.

use std::collections::BTreeMap;

use epsiloscope_format::Mode;
use polars::prelude::*;

use crate::along::{BoundsAt, Of};
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
        "mode" => bounds().map(|at| at.run.mode.name()).collect::<Vec<_>>(),
        "optimizer" => bounds().map(|at| at.of.optimizer.as_str()).collect::<Vec<_>>(),
        "combination" => bounds().map(|at| at.of.combination.as_deref()).collect::<Vec<_>>(),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::along::tests::bounds;

    #[test]
    fn bounds_are_held_against_their_first_step_and_their_calibration() {
        let along = [
            bounds("training", Mode::Monitoring, "1", 20, (1e-6, 1e-1)),
            bounds("training", Mode::Monitoring, "1", 10, (1e-4, 1e-2)),
            bounds("calibration", Mode::Calibration, "1", 5, (1e-9, 1e3)),
            bounds("calibration", Mode::Calibration, "1", 10, (1e-5, 1e-1)),
        ];
        let drifts = drift(&along);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert!(close(drifts[0].lower_shift, -2.0) && close(drifts[0].upper_shift, 1.0));
        assert!(close(drifts[1].lower_shift, 0.0) && close(drifts[1].upper_shift, 0.0));
        let [late, early] = [0, 1].map(|row: usize| drifts[row].calibration.clone().unwrap());
        assert!(close(late.lower, -1.0) && close(late.upper, 0.0) && !late.within);
        assert!(close(early.lower, 1.0) && close(early.upper, -1.0) && early.within);
        assert_eq!((late.run, &drifts[2].calibration, &drifts[3].calibration), ("calibration", &None, &None));
        assert_eq!(drift_table(&drifts).unwrap().shape(), (4, 16));
    }

    #[test]
    fn of_several_calibrations_the_likest_speaks() {
        let training = bounds("training", Mode::Monitoring, "2", 10, (1e-5, 1e-1));
        let calibration = |name, seed, configuration: &str, task: &str| {
            let mut at = bounds(name, Mode::Calibration, seed, 10, (1e-5, 1e-1));
            (at.run.configuration, at.run.task) = (configuration.to_owned(), task.to_owned());
            at
        };
        let others = [
            calibration("a", "2", "mlp-adam-1", "another task"),
            calibration("b", "2", "another configuration", "mlp-1"),
            calibration("c", "1", "mlp-adam-1", "mlp-1"),
            calibration("d", "1", "mlp-adam-1", "mlp-1"),
            calibration("e", "2", "mlp-adam-1", "mlp-1"),
        ];
        for (n_others, expected) in [(1, None), (2, Some("b")), (3, Some("c")), (4, Some("c")), (5, Some("e"))] {
            let along = [std::slice::from_ref(&training), &others[..n_others]].concat();
            assert_eq!(drift(&along)[0].calibration.as_ref().map(|from| from.run), expected);
        }
    }

    proptest! {
        /// What does not move has no drift, and lies within what foretold it.
        #[test]
        fn prop_identical_snapshots_do_not_drift(lower in 1e-30..1.0f64, width in 1.0..1e9f64, n_steps in 1..6i64) {
            let at = |mode, name, step| bounds(name, mode, "1", step, (lower, lower * width));
            let mut along: Vec<_> = (1..=n_steps).map(|step| at(Mode::Monitoring, "training", step)).collect();
            along.push(at(Mode::Calibration, "calibration", 1));
            for drift in &drift(&along)[..n_steps as usize] {
                prop_assert_eq!((drift.lower_shift, drift.upper_shift), (0.0, 0.0));
                let from = drift.calibration.as_ref().unwrap();
                prop_assert_eq!((from.lower, from.upper, from.within), (0.0, 0.0, true));
            }
        }

        /// Neither the order of rows nor other runs beside them change a run's drift.
        #[test]
        fn prop_drift_depends_on_the_run_alone(bounds_of in proptest::collection::vec((1e-9..1e-3f64, 1e-3..1.0f64), 1..8)) {
            let steps = bounds_of.iter().zip(1..);
            let along: Vec<_> =
                steps.map(|(&pair, step)| bounds("training", Mode::Monitoring, "1", step, pair)).collect();
            let mut reversed: Vec<_> = along.iter().rev().cloned().collect();
            reversed.push(bounds("other", Mode::Monitoring, "1", 1, (1e-1, 1e1)));
            let (found, mut again) = (drift(&along), drift(&reversed));
            again.pop();
            again.reverse();
            prop_assert_eq!(found, again);
        }
    }
}

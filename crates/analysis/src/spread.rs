//! How far the bounds of ε differ from run to run: over the seeds of one configuration.
//!
//! Takes [bounds along runs](crate::along) that are known already; reads no run.

use std::collections::BTreeMap;

use epsiloscope_format::Mode;
use polars::prelude::*;

use crate::along::{BoundsAt, Of};
use crate::bootstrap::bootstrap_over;

/// Resamples of the runs behind an interval.
const N_RESAMPLES: u32 = 1000;

/// The bounds of several runs of one configuration after one and the same step.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread<'a> {
    /// [`Manifest::configuration`](epsiloscope_format::Manifest::configuration) of the runs.
    pub configuration: &'a str,
    /// Whether their weights moved.
    pub mode: Mode,
    /// What the bounds are of.
    pub of: &'a Of,
    /// The step.
    pub step: i64,
    /// Runs that were looked at after this step.
    pub n_runs: usize,
    /// Of their lower bounds.
    pub lower: Spreading,
    /// Of their upper bounds.
    pub upper: Spreading,
}

/// The same bound of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spreading {
    /// 10 to the mean of their logarithms.
    pub mean: f64,
    /// Deviation of their logarithms to the base 10, estimated with n − 1; `None` of a single run.
    pub deviation: Option<f64>,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Where the mean lies, by the bootstrap over runs; `None` of a single run.
    pub interval: Option<(f64, f64)>,
}

/// The spread of all bounds over the runs that differ by their seed alone, by configuration, mode, what they are of and
/// step.
///
/// Runs of different lengths meet at the steps after which both were looked at.
pub fn spread(bounds: &[BoundsAt], confidence: f64, seed: u64) -> Vec<Spread<'_>> {
    let mut groups: BTreeMap<_, Vec<&BoundsAt>> = BTreeMap::new();
    for at in bounds {
        let key = (&at.run.configuration, at.run.mode.name(), &at.of, at.step);
        groups.entry(key).or_default().push(at);
    }
    groups.into_values().map(|runs| over_runs(runs, confidence, seed)).collect()
}

fn over_runs(mut runs: Vec<&BoundsAt>, confidence: f64, seed: u64) -> Spread<'_> {
    // The bootstrap draws from them in this order.
    runs.sort_by(|a, b| a.run.name.cmp(&b.run.name));
    let over =
        |bound: fn(&BoundsAt) -> f64| spreading(&runs.iter().map(|at| bound(at)).collect::<Vec<_>>(), confidence, seed);
    Spread {
        configuration: &runs[0].run.configuration,
        mode: runs[0].run.mode,
        of: &runs[0].of,
        step: runs[0].step,
        n_runs: runs.len(),
        lower: over(|at| at.lower),
        upper: over(|at| at.upper),
    }
}

fn spreading(values: &[f64], confidence: f64, seed: u64) -> Spreading {
    let logarithms: Vec<f64> = values.iter().map(|value| value.log10()).collect();
    let n = values.len() as f64;
    let mean = mean_of(&logarithms);
    let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
    Spreading {
        mean: 10f64.powf(mean),
        deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(0.0, f64::max),
        interval: bootstrap_over(&logarithms, mean_of, N_RESAMPLES, seed, confidence)
            .map(|(low, high)| (10f64.powf(low), 10f64.powf(high))),
    }
}

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// One row per configuration, mode, what the bounds are of, and step.
///
/// # Units
/// Everything is ε but `lower_deviation` and `upper_deviation`, which are decades.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn spread_table(spreads: &[Spread<'_>]) -> PolarsResult<DataFrame> {
    let texts = |value: fn(&Spread<'_>) -> String| spreads.iter().map(value).collect::<Vec<_>>();
    let mut columns: Vec<Column> = vec![
        Column::new("configuration".into(), texts(|spread| spread.configuration.to_owned())),
        Column::new("mode".into(), texts(|spread| spread.mode.name().to_owned())),
        Column::new("optimizer".into(), texts(|spread| spread.of.optimizer.clone())),
        Column::new(
            "combination".into(),
            spreads.iter().map(|spread| spread.of.combination.clone()).collect::<Vec<_>>(),
        ),
        Column::new("scope".into(), texts(|spread| spread.of.scope.clone())),
        Column::new("name".into(), spreads.iter().map(|spread| spread.of.name.clone()).collect::<Vec<_>>()),
        Column::new("step".into(), spreads.iter().map(|spread| spread.step).collect::<Vec<_>>()),
        Column::new("n_runs".into(), spreads.iter().map(|spread| spread.n_runs as i64).collect::<Vec<_>>()),
    ];
    columns.extend(bound_columns("lower", spreads, |spread| spread.lower));
    columns.extend(bound_columns("upper", spreads, |spread| spread.upper));
    DataFrame::new_infer_height(columns)
}

fn bound_columns(side: &str, spreads: &[Spread<'_>], bound: fn(&Spread<'_>) -> Spreading) -> [Column; 6] {
    let column = |part: &str, value: fn(Spreading) -> Option<f64>| {
        let values: Vec<Option<f64>> = spreads.iter().map(|spread| value(bound(spread))).collect();
        Column::new(format!("{side}_{part}").into(), values)
    };
    [
        column("mean", |of| Some(of.mean)),
        column("deviation", |of| of.deviation),
        column("min", |of| Some(of.min)),
        column("max", |of| Some(of.max)),
        column("boot_low", |of| of.interval.map(|(low, _)| low)),
        column("boot_high", |of| of.interval.map(|(_, high)| high)),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::along::tests::bounds;

    fn seeds(pairs: &[(f64, f64)]) -> Vec<BoundsAt> {
        let run = |(index, &pair): (usize, &(f64, f64))| {
            bounds(&format!("r-{index}"), Mode::Monitoring, &index.to_string(), 10, pair)
        };
        pairs.iter().enumerate().map(run).collect()
    }

    #[test]
    fn seeds_of_one_configuration_are_put_together_step_by_step() {
        let mut along = seeds(&[(1e-6, 1e-2), (1e-4, 1e-2)]);
        along.push(bounds("r-0", Mode::Monitoring, "0", 20, (1e-3, 1e-1)));
        along.push(bounds("calibration", Mode::Calibration, "0", 10, (1e-5, 1e-1)));
        let spreads = spread(&along, 0.95, 0);
        let found: Vec<_> = spreads.iter().map(|spread| (spread.mode, spread.step, spread.n_runs)).collect();
        assert_eq!(found, [(Mode::Calibration, 10, 1), (Mode::Monitoring, 10, 2), (Mode::Monitoring, 20, 1)]);
        let Spreading { mean, deviation, min, max, interval } = spreads[1].lower;
        assert!((mean / 1e-5 - 1.0).abs() < 1e-12 && (deviation.unwrap() - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!((min, max), (1e-6, 1e-4));
        let (low, high) = interval.unwrap();
        assert!((low / 1e-6 - 1.0).abs() < 1e-12 && (high / 1e-4 - 1.0).abs() < 1e-12);
        assert_eq!(spreads[1].upper.deviation, Some(0.0));
        assert_eq!((spreads[2].lower.deviation, spreads[2].lower.interval), (None, None));
        assert_eq!(spread_table(&spreads).unwrap().shape(), (3, 20));
    }

    proptest! {
        /// The order in which runs are named changes nothing, and every mean lies between the extremes.
        #[test]
        fn prop_spread_does_not_depend_on_order(
            pairs in proptest::collection::vec((1e-9..1e-3f64, 1e-3..1.0f64), 1..12), seed in 0..4u64,
        ) {
            let along = seeds(&pairs);
            let reversed: Vec<_> = along.iter().rev().cloned().collect();
            let found = spread(&along, 0.9, seed);
            prop_assert_eq!(&found, &spread(&reversed, 0.9, seed));
            for over in [found[0].lower, found[0].upper] {
                let slack = 1.0 + 1e-12;
                let (low, high) = over.interval.unwrap_or((over.mean, over.mean));
                prop_assert!(over.min <= low * slack && low <= over.mean * slack);
                prop_assert!(over.mean <= high * slack && high <= over.max * slack);
            }
        }
    }
}

//! How far the bounds of ε differ from run to run: over the seeds of one configuration.
//!
//! Takes [bounds along runs](crate::along) that are known already; reads no run.

use std::collections::BTreeMap;

use epsiloscope_format::Mode;
use polars::prelude::*;

use crate::along::{BoundsAt, Of, mode_name};
use crate::bootstrap::mean_interval;

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
        let key = (&at.run.configuration, mode_name(at.run.mode), &at.of, at.step);
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
    let mean = logarithms.iter().sum::<f64>() / n;
    let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
    Spreading {
        mean: 10f64.powf(mean),
        deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(0.0, f64::max),
        interval: mean_interval(&logarithms, confidence, seed).map(|(low, high)| (10f64.powf(low), 10f64.powf(high))),
    }
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
        Column::new("mode".into(), texts(|spread| mode_name(spread.mode).to_owned())),
        Column::new("optimizer".into(), texts(|spread| spread.of.optimizer.clone())),
        Column::new("combination".into(), texts(|spread| spread.of.combination.clone())),
        Column::new("scope".into(), texts(|spread| spread.of.scope.clone())),
        Column::new("name".into(), spreads.iter().map(|spread| spread.of.name.clone()).collect::<Vec<_>>()),
        Column::new("step".into(), spreads.iter().map(|spread| spread.step).collect::<Vec<_>>()),
        Column::new("n_runs".into(), spreads.iter().map(|spread| spread.n_runs as i64).collect::<Vec<_>>()),
    ];
    let bounds: [(&str, fn(&Spread<'_>) -> Spreading); 2] =
        [("lower", |spread| spread.lower), ("upper", |spread| spread.upper)];
    let parts: [(&str, fn(Spreading) -> Option<f64>); 6] = [
        ("mean", |of| Some(of.mean)),
        ("deviation", |of| of.deviation),
        ("min", |of| Some(of.min)),
        ("max", |of| Some(of.max)),
        ("boot_low", |of| of.interval.map(|(low, _)| low)),
        ("boot_high", |of| of.interval.map(|(_, high)| high)),
    ];
    for (bound, of_bound) in bounds {
        columns.extend(parts.iter().map(|(part, value)| {
            let values: Vec<Option<f64>> = spreads.iter().map(|spread| value(of_bound(spread))).collect();
            Column::new(format!("{bound}_{part}").into(), values)
        }));
    }
    DataFrame::new_infer_height(columns)
}

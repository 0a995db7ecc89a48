//! How far two runs' magnitudes lie apart, in decades.
//!
//! The distance is the Wasserstein distance of order one on the log10 axis, ∫ |F(x) − G(x)| dx over the two cumulative
//! distributions (Vallender 1974, Theory of Probability and its Applications 18, the identity; Ramdas, García Trillos &
//! Cuturi 2017, Entropy 19(2):47, section 3): how many decades the average magnitude moves, at best, to make one
//! distribution the other. It is taken of the bins, each at its middle, in integers but for one division. A value lies at
//! most half a bin from the middle of its own, so the distance of the magnitudes themselves is within one bin of it:
//! 1/40 decade. Zeros, NaN and infinities have no place on the axis.
//!
//! | column | meaning |
//! |---|---|
//! | `run_a`, `run_b` | the runs' names |
//! | `scope`, `name` | what the histograms are over; the name is null over the run |
//! | `quantity` | what the magnitudes are of |
//! | `first_step_a` … `last_step_b` | the steps whose counts were added; null where that run has none |
//! | `distance` | in decades; null where one run has nothing |
//! | `median_shift`, `lower_shift`, `upper_shift` | decades from A to B of the median and of the 2 % and 98 % points, in whole bins |
//! | `count_a`, `count_b` | non-zero finite magnitudes |
//! | `only` | `a` or `b` where only that run has it, else null |

use std::collections::{BTreeMap, BTreeSet};

use epsiloscope_format::Run;
use epsiloscope_histogram::{BINS_PER_DECADE, Histogram};
use polars::prelude::*;

use crate::error::AnalysisError;
use crate::grouping::Scope;
use crate::histograms::{HistogramOptions, ScopeHistogram, histograms};
use crate::order_statistics::indices;
use crate::window::Window;

/// Where the outer points lie, as in the estimates.
const PERCENTILE: f64 = 0.98;

/// What to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffOptions {
    /// Tensors whose counts are added.
    pub scope: Scope,
    /// Steps whose counts are added; the first window of one run is compared with the first of the other, and so on.
    pub window: Window,
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { scope: Scope::Tensor, window: Window::Run }
    }
}

/// What one run has of something compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The first step whose counts were added.
    pub first_step: i64,
    /// The last.
    pub last_step: i64,
    /// Non-zero finite magnitudes.
    pub count: u64,
}

/// What lies between the two histograms of something. Decades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// Wasserstein distance of order one.
    pub wasserstein: f64,
    /// From the median of A to that of B.
    pub median_shift: f64,
    /// Between the 2 % points.
    pub lower_shift: f64,
    /// Between the 98 % points.
    pub upper_shift: f64,
}

/// Two runs compared over some tensors, a quantity and a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The tensor's, layer's or kind's name; none over the run.
    pub name: Option<String>,
    /// What the magnitudes are of.
    pub quantity: String,
    /// What run A has; none if nothing.
    pub a: Option<Side>,
    /// What run B has.
    pub b: Option<Side>,
    /// Where both have something.
    pub distance: Option<Distance>,
}

/// Compares two runs; the greatest distances first, then what only one has.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if a run has no histogram of such steps; [`AnalysisError::Format`] if a file cannot be
/// read.
pub fn diff(a: &Run, b: &Run, options: DiffOptions) -> Result<Vec<Difference>, AnalysisError> {
    let (a, b) = (counts(a, options)?, counts(b, options)?);
    let keys: BTreeSet<&Key> = a.keys().chain(b.keys()).collect();
    let mut differences: Vec<Difference> =
        keys.into_iter().map(|key| difference(key, a.get(key), b.get(key))).collect();
    let rank = |difference: &Difference| difference.distance.map_or(-1.0, |distance| distance.wasserstein);
    differences.sort_by(|one, other| rank(other).total_cmp(&rank(one)));
    Ok(differences)
}

/// Name, quantity and window.
type Key = (Option<String>, String, usize);

/// A histogram, and what it is over.
type Counts = (Side, Histogram);

fn counts(run: &Run, options: DiffOptions) -> Result<BTreeMap<Key, Counts>, AnalysisError> {
    let DiffOptions { scope, window } = options;
    let windows = window.split(run)?;
    let found = histograms(run, &HistogramOptions { scope, window, ..HistogramOptions::default() })?;
    let keyed = |found: ScopeHistogram| {
        let ScopeHistogram { name, quantity, first_step, last_step, histogram, .. } = found;
        let side = Side { first_step, last_step, count: histogram.total() };
        ((name, quantity, windows.of_step(first_step).unwrap_or(0)), (side, histogram))
    };
    Ok(found.into_iter().map(keyed).collect())
}

fn difference((name, quantity, _window): &Key, a: Option<&Counts>, b: Option<&Counts>) -> Difference {
    Difference {
        name: name.clone(),
        quantity: quantity.clone(),
        a: a.map(|(side, _)| *side),
        b: b.map(|(side, _)| *side),
        distance: a.zip(b).and_then(|((_, a), (_, b))| distance(a, b)),
    }
}

/// Between two histograms of the same bins per decade; none if one is empty.
///
/// # Examples
/// ```
/// use epsiloscope_analysis::diff::distance;
/// use epsiloscope_histogram::Histogram;
///
/// let at = |bin| Histogram::from_bins([(bin, 7), (bin + 20, 7)]);
/// let tenfold = distance(&at(-160), &at(-120)).unwrap();
/// assert_eq!((tenfold.wasserstein, tenfold.median_shift), (1.0, 1.0));
/// ```
pub fn distance(a: &Histogram, b: &Histogram) -> Option<Distance> {
    let point = |histogram: &Histogram, index: usize| histogram.order_statistic(index as u64).map(|range| range.bin);
    let shift = |index: fn(usize) -> usize| {
        let of = |histogram: &Histogram| point(histogram, index(histogram.total() as usize));
        Some(f64::from(of(b)? - of(a)?) / f64::from(BINS_PER_DECADE))
    };
    Some(Distance {
        wasserstein: wasserstein(a, b)?,
        median_shift: shift(|n| n / 2)?,
        lower_shift: shift(|n| indices(PERCENTILE, n).0)?,
        upper_shift: shift(|n| indices(PERCENTILE, n).1)?,
    })
}

/// Σ |F − G| over the gaps between bins, in units of 1/(40·n·m) decades until the end.
fn wasserstein(a: &Histogram, b: &Histogram) -> Option<f64> {
    let (n, m) = (u128::from(a.total()), u128::from(b.total()));
    let mut mass: BTreeMap<i32, (u128, u128)> = BTreeMap::new();
    a.bins().for_each(|(bin, count)| mass.entry(bin).or_default().0 += u128::from(count));
    b.bins().for_each(|(bin, count)| mass.entry(bin).or_default().1 += u128::from(count));
    let (mut below, mut last, mut area) = ((0, 0), *mass.keys().next()?, 0);
    for (bin, (in_a, in_b)) in mass {
        area += (below.0 * m).abs_diff(below.1 * n) * u128::from(bin.abs_diff(last));
        below = (below.0 + in_a, below.1 + in_b);
        last = bin;
    }
    (0 < n && 0 < m).then(|| area as f64 / (n * m) as f64 / f64::from(BINS_PER_DECADE))
}

/// The differences of two runs as a table, one row each.
///
/// # Errors
/// [`AnalysisError::Table`] if polars refuses the frame.
pub fn diff_table(a: &Run, b: &Run, scope: Scope, differences: &[Difference]) -> Result<DataFrame, AnalysisError> {
    let of_a = |value: fn(Side) -> i64| differences.iter().map(|found| found.a.map(value)).collect::<Vec<_>>();
    let of_b = |value: fn(Side) -> i64| differences.iter().map(|found| found.b.map(value)).collect::<Vec<_>>();
    let number = |value: fn(Distance) -> f64| {
        differences.iter().map(|difference| difference.distance.map(value)).collect::<Vec<_>>()
    };
    let only = |found: &Difference| match (found.a, found.b) {
        (Some(_), None) => Some("a"),
        (None, Some(_)) => Some("b"),
        _ => None,
    };
    let run = |run: &Run| vec![run.manifest().run.clone(); differences.len()];
    let frame = df![
        "run_a" => run(a),
        "run_b" => run(b),
        "scope" => vec![scope.name(); differences.len()],
        "name" => differences.iter().map(|found| found.name.as_deref()).collect::<Vec<_>>(),
        "quantity" => differences.iter().map(|found| found.quantity.as_str()).collect::<Vec<_>>(),
        "first_step_a" => of_a(|side| side.first_step),
        "last_step_a" => of_a(|side| side.last_step),
        "first_step_b" => of_b(|side| side.first_step),
        "last_step_b" => of_b(|side| side.last_step),
        "distance" => number(|distance| distance.wasserstein),
        "median_shift" => number(|distance| distance.median_shift),
        "lower_shift" => number(|distance| distance.lower_shift),
        "upper_shift" => number(|distance| distance.upper_shift),
        "count_a" => of_a(|side| side.count as i64),
        "count_b" => of_b(|side| side.count as i64),
        "only" => differences.iter().map(only).collect::<Vec<_>>(),
    ];
    frame.map_err(|source| AnalysisError::Table { run: b.dir().to_owned(), source })
}

#[cfg(test)]
mod tests {
    use epsiloscope_histogram::Counter;
    use proptest::prelude::*;

    use super::*;

    fn binned(values: &[f32]) -> Histogram {
        let mut counter = Counter::new();
        counter.count(values);
        counter.take()
    }

    /// Of equally many values: the k-th least of one goes to the k-th least of the other.
    fn distance_of_values(a: &[f32], b: &[f32]) -> f64 {
        let sorted = |values: &[f32]| {
            let mut logs: Vec<f64> = values.iter().map(|&value| f64::from(value).log10()).collect();
            logs.sort_by(f64::total_cmp);
            logs
        };
        sorted(a).iter().zip(sorted(b)).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
    }

    fn histograms() -> impl Strategy<Value = Histogram> {
        prop::collection::vec((-400..100i32, 1..1000u64), 1..40).prop_map(Histogram::from_bins)
    }

    fn magnitudes() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec((-30.0..20.0f32).prop_map(|log| 10f32.powf(log)), 100)
    }

    proptest! {
        #[test]
        fn prop_within_a_bin_of_the_values_own_distance(a in magnitudes(), b in magnitudes()) {
            let found = wasserstein(&binned(&a), &binned(&b)).unwrap();
            prop_assert!((found - distance_of_values(&a, &b)).abs() <= 1.0 / 40.0 + 1e-6);
        }

        #[test]
        fn prop_a_distance_is_one(a in histograms(), b in histograms(), c in histograms()) {
            let between = |a, b| wasserstein(a, b).unwrap();
            prop_assert_eq!(between(&a, &a).to_bits(), 0.0f64.to_bits());
            prop_assert_eq!(between(&a, &b).to_bits(), between(&b, &a).to_bits());
            prop_assert!(between(&a, &c) <= (between(&a, &b) + between(&b, &c)) * (1.0 + 1e-12));
        }

        #[test]
        fn prop_moving_every_value_moves_as_far(a in histograms(), bins in -100..100i32, times in 1..50u64) {
            let moved = Histogram::from_bins(a.bins().map(|(bin, count)| (bin + bins, count * times)));
            let found = distance(&a, &moved).unwrap();
            let decades = f64::from(bins) / 40.0;
            prop_assert!((found.wasserstein - decades.abs()).abs() < 1e-12);
            prop_assert_eq!(found.median_shift.to_bits(), decades.to_bits());
        }
    }

    #[test]
    fn nothing_has_no_distance() {
        let some = Histogram::from_bins([(3, 1)]);
        assert_eq!(distance(&Histogram::default(), &some), None);
        assert_eq!(distance(&some, &Histogram::default()), None);
    }
}

//! One bound from those of several tensors.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::bootstrap::percentile_interval;
use crate::critical_epsilon::CriticalEpsilon;
use crate::estimate::{Bound, CombinedBound, Method, TensorEstimate};
use crate::tensor_bounds::Side;

/// How the bounds of several tensors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Combination {
    /// The least of the lower bounds and the greatest of the upper ones, as in arXiv 2311.11532.
    Extremes,
    /// The order statistics of all elements together, each counting the same.
    Pooled,
    /// The extremes of those that are no outliers by Tukey's fences: log10 of the bound lies within 1.5 interquartile
    /// ranges of the quartiles (Tukey, Exploratory Data Analysis, 1977), lower and upper bounds each among themselves.
    /// The same as `extremes` where there is no outlier.
    Robust,
}

impl Combination {
    /// Every combination.
    pub const ALL: [Self; 3] = [Self::Extremes, Self::Pooled, Self::Robust];

    /// Its name in tables and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extremes => "extremes",
            Self::Pooled => "pooled",
            Self::Robust => "robust",
        }
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Combination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|combination| combination.name() == text);
        found.ok_or_else(|| format!("combination {text:?}: expected extremes, pooled or robust"))
    }
}

/// A tensor that sets bounds, and what they are made of.
pub(crate) struct Member<'a> {
    pub(crate) estimate: TensorEstimate,
    pub(crate) critical: &'a CriticalEpsilon,
    /// See [`TensorBounds`](crate::tensor_bounds::TensorBounds).
    pub(crate) replicates: Vec<[f32; 2]>,
    /// Index in the manifest.
    pub(crate) tensor: usize,
}

impl Member<'_> {
    pub(crate) fn bound(&self, side: Side) -> &Bound {
        match side {
            Side::Lower => &self.estimate.lower,
            Side::Upper => &self.estimate.upper,
        }
    }

    fn replicate(&self, side: Side, index: usize) -> f64 {
        self.replicates.get(index).map_or(self.bound(side).value, |bounds| f64::from(bounds[side as usize]))
    }
}

impl Side {
    /// From the outermost bound inwards.
    fn compare(self, a: f64, b: f64) -> Ordering {
        match self {
            Self::Lower => a.total_cmp(&b),
            Self::Upper => b.total_cmp(&a),
        }
    }

    /// NaN, which resamples without bounds are, is never the outermost.
    fn outermost(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        values.filter(|value| !value.is_nan()).min_by(|&a, &b| self.compare(a, b))
    }
}

/// The outermost of the tensors' bounds; `None` of no tensor.
pub(crate) fn extremes(members: &[&Member<'_>], side: Side, confidence: f64) -> Option<CombinedBound> {
    let mut order = members.to_vec();
    order.sort_by(|a, b| side.compare(a.bound(side).value, b.bound(side).value));
    let outermost = order.first()?;
    // An outer end that is not known reaches out to zero or infinity; an inner one never is the outermost.
    let end = |of: fn(&Bound) -> Option<f64>, is_outer: bool| {
        let mut ends = members.iter().map(|member| of(member.bound(side)));
        if is_outer && ends.clone().any(|end| end.is_none()) { None } else { side.outermost(ends.by_ref().flatten()) }
    };
    let bound = Bound {
        value: outermost.bound(side).value,
        low: end(|bound| bound.low, side == Side::Lower),
        high: end(|bound| bound.high, side == Side::Upper),
        bootstrap: bootstrap(members, outermost.bound(side).value, confidence, |index| {
            side.outermost(members.iter().map(|member| member.replicate(side, index)))
        }),
    };
    Some(CombinedBound {
        bound,
        tensor: outermost.estimate.tensor.clone(),
        method: outermost.estimate.method,
        sample_size: outermost.estimate.sample_size,
        without: order.get(1).map(|member| member.bound(side).value),
    })
}

/// The extremes of the tensors that are no outliers.
pub(crate) fn robust(members: &[&Member<'_>], side: Side, confidence: f64) -> Option<CombinedBound> {
    let logarithm = |member: &Member<'_>| member.bound(side).value.log10();
    let mut logarithms: Vec<f64> = members.iter().map(|member| logarithm(member)).collect();
    logarithms.sort_unstable_by(f64::total_cmp);
    let [q1, q3] = [0.25, 0.75].map(|share| interpolated(&logarithms, share));
    let reach = 1.5 * (q3 - q1);
    let is_inside = |member: &&&Member<'_>| (q1 - reach..=q3 + reach).contains(&logarithm(member));
    let inside: Vec<&Member<'_>> = members.iter().filter(is_inside).copied().collect();
    extremes(&inside, side, confidence)
}

/// The interval of a bound over resamples. Where there is no sample: the bound itself if every tensor is exact, else,
/// as bins are not resampled, none.
pub(crate) fn bootstrap(
    members: &[&Member<'_>],
    value: f64,
    confidence: f64,
    replicate: impl FnMut(usize) -> Option<f64>,
) -> Option<(f64, f64)> {
    let n_replicates = members.iter().map(|member| member.replicates.len()).max().unwrap_or(0);
    if n_replicates > 0 {
        percentile_interval((0..n_replicates).filter_map(replicate).collect(), confidence)
    } else {
        members.iter().all(|member| member.estimate.method == Method::Exact).then_some((value, value))
    }
}

/// A quantile of ascending values, linear between them, as NumPy's; NaN of none.
fn interpolated(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = share * last as f64;
    let below = position.floor();
    let at = |index: f64| sorted[(index as usize).min(last)];
    at(below) + (position - below) * (at(below + 1.0) - at(below))
}

//! The bounds of all elements of several tensors together, each element counting the same.
//!
//! An element looked at stands for `numel / elements looked at` of its tensor's: for itself where all were, as values or
//! by bin. The pooled bound is the least x with A(x) > τ·N, where A(x) adds the weights of the non-zero elements
//! not above x, N = A(∞) and τ = 1 − p or p. With all weights 1 that is the order statistic of index `int(τ·N)`, as of
//! one tensor.
//!
//! # Error
//! An element in a bin may be its least or its greatest float: `low` and `high` come of these; where only histograms of
//! gradients are known there are none. For samples, A(q) − τ·N at
//! the true bound q is a sum of independent terms, one per sampled element, of known weight, which misses its mean by more than
//! sqrt(2·V·L) + w·L/3 with probability e^-L (Bernstein's inequality; w the greatest weight, V the variance, which is
//! estimated at the bound, each tensor's count raised by one). Approximate in that V is an estimate alone.

use epsiloscope_histogram::bins::{BinRange, bin_of, first_float};
use epsiloscope_histogram::{BINS_PER_DECADE, Histogram};

use crate::bootstrap::Bits;
use crate::combination::{Member, bootstrap};
use crate::critical_epsilon::CriticalEpsilon;
use crate::estimate::{Bound, CombinedBound, EstimateOptions, Method};
use crate::tensor_bounds::Side;

/// Where a bin's elements are taken to be.
#[derive(Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

/// The non-zero elements of one tensor.
struct Part<'a> {
    /// Of each element.
    weight: f64,
    values: Ordered<'a>,
}

enum Ordered<'a> {
    Values(&'a [f32]),
    /// Values and how many elements are at or below each.
    Bins(Vec<(f32, u64)>),
}

impl Ordered<'_> {
    fn n_at_most(&self, x: f32) -> u64 {
        match self {
            Self::Values(sorted) => sorted.partition_point(|&value| value <= x) as u64,
            Self::Bins(reached) => {
                let n_bins = reached.partition_point(|&(value, _)| value <= x);
                n_bins.checked_sub(1).map_or(0, |last| reached[last].1)
            }
        }
    }
}

/// The greatest float below one above zero.
fn previous(x: f32) -> f32 {
    f32::from_bits(x.to_bits() - 1)
}

fn place(bin: i32, place: Place) -> f32 {
    let (first, last) = (first_float(bin), previous(first_float(bin + 1)));
    match place {
        Place::First => first,
        Place::Middle => (f64::from(first) * f64::from(last)).sqrt() as f32,
        Place::Last => last,
    }
}

fn part<'a>(member: &Member<'a>, at: Place) -> Part<'a> {
    let values = match member.critical {
        CriticalEpsilon::Values { sorted, .. } => Ordered::Values(sorted),
        CriticalEpsilon::Unknown | CriticalEpsilon::NotFinite => Ordered::Values(&[]),
        CriticalEpsilon::Bins(histogram) => reached(histogram, at),
        CriticalEpsilon::Between(envelope) => reached(&envelope.kept, at),
    };
    Part { weight: member.estimate.numel as f64 / member.critical.n_looked_at() as f64, values }
}

fn reached(histogram: &Histogram, at: Place) -> Ordered<'static> {
    let mut reached = 0;
    let bins = histogram.bins().map(|(bin, count)| {
        reached += count;
        (place(bin, at), reached)
    });
    Ordered::Bins(bins.collect())
}

struct Pool<'a> {
    parts: Vec<Part<'a>>,
    place: Place,
}

impl<'a> Pool<'a> {
    fn of<'b>(members: impl Iterator<Item = &'b &'b Member<'a>>, at: Place) -> Self
    where
        'a: 'b,
    {
        Self { parts: members.map(|member| part(member, at)).collect(), place: at }
    }

    fn weight_at_most(&self, x: f32) -> f64 {
        self.parts.iter().map(|part| part.weight * part.values.n_at_most(x) as f64).sum()
    }

    fn total(&self) -> f64 {
        self.weight_at_most(f32::MAX)
    }

    /// The least value with more weight than `target` at or below it; `None` if there is not so much.
    fn least_above(&self, target: f64) -> Option<f32> {
        (self.total() > target).then(|| least_float(|x| self.weight_at_most(x) > target))
    }

    /// What a value is as a bound: of a bin its edges or its middle, as of a tensor alone.
    fn bound(&self, value: f32) -> f64 {
        let is_bins = |part: &Part<'_>| match &part.values {
            Ordered::Values(_) => false,
            Ordered::Bins(reached) => reached.binary_search_by(|(place, _)| place.total_cmp(&value)).is_ok(),
        };
        match bin_of(value).filter(|_| self.parts.iter().any(is_bins)) {
            None => f64::from(value),
            Some(bin) => {
                let range = BinRange { bin, bins_per_decade: BINS_PER_DECADE };
                match self.place {
                    Place::First => range.lower(),
                    Place::Middle => range.middle(),
                    Place::Last => range.upper(),
                }
            }
        }
    }
}

/// The least positive float of which something holds that holds of all greater ones, and of the greatest.
fn least_float(mut holds: impl FnMut(f32) -> bool) -> f32 {
    let (mut low, mut high) = (0, f32::MAX.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(f32::from_bits(middle)) { high = middle } else { low = middle }
    }
    f32::from_bits(high)
}

/// The pooled bound of some tensors; `None` of none.
pub(crate) fn pooled(members: &[&Member<'_>], side: Side, options: &EstimateOptions) -> Option<CombinedBound> {
    let pool = Pool::of(members.iter(), Place::Middle);
    let share = side.share(options.percentile);
    let target = share * pool.total();
    let value = pool.least_above(target)?;
    let miss = (1.0 - options.confidence) / 4.0;
    let error = sampling_error(members, &pool, value, share, miss);
    let reached = |place, target| {
        let pool = Pool::of(members.iter(), place);
        pool.least_above(target).map(|value| pool.bound(value))
    };
    // Elements of other tensors may lie anywhere between what their histograms allow.
    let is_open = members.iter().any(|member| member.estimate.method == Method::Gradient);
    let setting = most_in_bin(&pool, value);
    let mut others = Pool::of(members.iter().take(setting), Place::Middle);
    others.parts.extend(Pool::of(members.iter().skip(setting + 1), Place::Middle).parts);
    let value = pool.bound(value);
    Some(CombinedBound {
        bound: Bound {
            value,
            low: if is_open || target < error { None } else { reached(Place::First, target - error) },
            high: if is_open { None } else { reached(Place::Last, target + error) },
            bootstrap: bootstrap(members, value, options.confidence, |index| {
                resampled(members, &pool, share, Bits::new(options.seed, [u64::MAX, index as u64]))
                    .map(|value| pool.bound(value))
            }),
        },
        tensor: members[setting].estimate.tensor.clone(),
        method: members.iter().map(|member| member.estimate.method).max()?,
        sample_size: members.iter().map(|member| member.estimate.sample_size).sum(),
        without: others.least_above(share * others.total()).map(|value| others.bound(value)),
    })
}

/// How far the weight at or below the bound may be from what all elements would have; each end misses with
/// probability `miss`.
fn sampling_error(members: &[&Member<'_>], pool: &Pool<'_>, value: f32, share: f64, miss: f64) -> f64 {
    let (mut variance, mut greatest_weight) = (0.0, 0.0f64);
    for (member, part) in members.iter().zip(&pool.parts) {
        if member.estimate.method == Method::Sample {
            // Each element looked at adds 1 − τ if it is at or below the bound, −τ if above, 0 if zero.
            let n = member.critical.n_looked_at() as f64;
            let n_below = part.values.n_at_most(value) as f64;
            let n_above = member.estimate.sample_size as f64 - n_below;
            let [below, above] = [n_below, n_above].map(|count| (count + 1.0) / (n + 2.0));
            let mean = below * (1.0 - share) - above * share;
            let mean_square = below * (1.0 - share).powi(2) + above * share.powi(2);
            variance += part.weight.powi(2) * n * (mean_square - mean.powi(2));
            greatest_weight = greatest_weight.max(part.weight);
        }
    }
    let l = -miss.ln();
    (2.0 * variance * l).sqrt() + greatest_weight * l / 3.0
}

/// The index of the part with the most elements in a value's bin; of equals, the first.
fn most_in_bin(pool: &Pool<'_>, value: f32) -> usize {
    let bin = bin_of(value).expect("a bound is finite and above zero");
    let [before, last] = [first_float(bin), first_float(bin + 1)].map(previous);
    let in_bin = |part: &Part<'_>| part.weight * (part.values.n_at_most(last) - part.values.n_at_most(before)) as f64;
    let mut most = (0, f64::NEG_INFINITY);
    for (index, part) in pool.parts.iter().enumerate() {
        if in_bin(part) > most.1 {
            most = (index, in_bin(part));
        }
    }
    most.0
}

/// A sampled part between two values: how many of its elements, and how many of a resample's, lie at or below each.
#[derive(Clone, Copy, Default)]
struct Bracket {
    n_low: u64,
    n_high: u64,
    drawn_low: u64,
    drawn_high: u64,
}

/// The bound of a resample, which is drawn only as far as it is looked at: of the elements between two values as many
/// lie below one in between as a binomial variable says.
fn resampled(members: &[&Member<'_>], pool: &Pool<'_>, share: f64, mut bits: Bits) -> Option<f32> {
    let mut brackets = Vec::new();
    for member in members {
        let n = member.estimate.sample_size;
        let looked_at = member.critical.n_looked_at();
        let is_sample = member.estimate.method == Method::Sample;
        let drawn = if is_sample { bits.below(looked_at, n, looked_at) } else { n };
        brackets.push(Bracket { n_high: n, drawn_high: drawn, ..Bracket::default() });
    }
    let total: f64 = pool.parts.iter().zip(&brackets).map(|(part, all)| part.weight * all.drawn_high as f64).sum();
    let target = share * total;
    let mut middles = vec![(0, 0); brackets.len()];
    let bound = least_float(|x| {
        let mut weight = 0.0;
        for (((member, part), bracket), middle) in members.iter().zip(&pool.parts).zip(&brackets).zip(&mut middles) {
            let n = part.values.n_at_most(x);
            let drawn = if member.estimate.method == Method::Sample {
                let Bracket { n_low, n_high, drawn_low, drawn_high } = *bracket;
                drawn_low + bits.below(drawn_high - drawn_low, n - n_low, n_high - n_low)
            } else {
                n
            };
            *middle = (n, drawn);
            weight += part.weight * drawn as f64;
        }
        let holds = weight > target;
        for (bracket, &(n, drawn)) in brackets.iter_mut().zip(&middles) {
            if holds {
                (bracket.n_high, bracket.drawn_high) = (n, drawn);
            } else {
                (bracket.n_low, bracket.drawn_low) = (n, drawn);
            }
        }
        holds
    });
    (total > 0.0).then_some(bound)
}

//! The critical ε of the elements of several tensors as one distribution, whichever way each tensor's are known.
//!
//! Each element counts once: a value of a sample stands for as many elements as the tensor has per element looked at.
//! Exact zeros and what is not finite are left out, as the paper leaves them out: an element whose gradients were all
//! zero is not moved at any ε.

use epsiloscope_format::TensorInfo;
use epsiloscope_histogram::{BinRange, Histogram};

use crate::critical_epsilon::CriticalEpsilon;
use crate::estimate::Method;
use crate::kept_ranks::Envelope;

/// Critical ε by value.
pub(crate) struct Distribution<'a> {
    parts: Vec<Part<'a>>,
}

/// A share of elements, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its value.
    pub value: f64,
    /// It is no smaller than this.
    pub low: f64,
    /// It is no greater than this.
    pub high: f64,
}

/// Those of one tensor.
struct Part<'a> {
    points: Points<'a>,
    method: Method,
    n: u64,
    /// Elements that each value stands for.
    weight: f64,
}

enum Points<'a> {
    /// Ascending.
    Values(&'a [f32]),
    /// Bins in ascending order, each with the number of elements in it and below.
    Bins(Vec<(BinRange, u64)>),
    /// The same where ranks are kept, and between what they lie.
    Between(Vec<(BinRange, u64)>, &'a Envelope),
}

impl<'a> Distribution<'a> {
    /// Of tensors of which something is known; `None` if no element is left.
    pub(crate) fn of(tensors: impl IntoIterator<Item = (&'a TensorInfo, &'a CriticalEpsilon)>) -> Option<Self> {
        let parts: Vec<Part<'a>> =
            tensors.into_iter().filter_map(|(info, critical)| Part::of(info, critical)).collect();
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// The least exact method among the tensors.
    pub(crate) fn method(&self) -> Method {
        self.parts.iter().map(|part| part.method).max().expect("a distribution has parts")
    }

    /// Values that are known.
    pub(crate) fn sample_size(&self) -> u64 {
        self.parts.iter().map(|part| part.n).sum()
    }

    /// The share of elements with smaller critical ε, and where it lies for certain or, if some come from samples, with
    /// a probability of at least 1 − `miss`. Of a bin that ε divides, all count.
    pub(crate) fn share_below(&self, epsilon: f64, miss: f64) -> Share {
        let n_sampled = self.parts.iter().filter(|part| part.method == Method::Sample).count();
        let miss = miss / (2 * n_sampled.max(1)) as f64;
        let shares: Vec<(f64, Share)> =
            self.parts.iter().map(|part| (part.elements(), part.share_below(epsilon, miss))).collect();
        let mean = |value: fn(&Share) -> f64| {
            shares.iter().map(|(elements, share)| elements * value(share)).sum::<f64>() / self.elements()
        };
        Share { value: mean(|share| share.value), low: mean(|share| share.low), high: mean(|share| share.high) }
    }

    /// The order statistic of index `int(q·n)`, counted from 0; of bins the geometric middle.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let index = (q * self.elements()).floor();
        // Positive floats are in the order of their bits.
        let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
        while low < high {
            let middle = low + (high - low) / 2;
            let value = f64::from_bits(middle);
            let up_to = self.parts.iter().map(|part| part.n_up_to(value) as f64 * part.weight).sum::<f64>();
            if index < up_to { high = middle } else { low = middle + 1 }
        }
        f64::from_bits(low)
    }

    fn elements(&self) -> f64 {
        self.parts.iter().map(Part::elements).sum()
    }
}

impl<'a> Part<'a> {
    fn of(info: &TensorInfo, critical: &'a CriticalEpsilon) -> Option<Self> {
        let (method, n) = (critical.method()?, critical.sample_size());
        let points = match critical {
            CriticalEpsilon::Values { sorted, .. } => Points::Values(sorted),
            CriticalEpsilon::Bins(histogram) => Points::Bins(reached(histogram)),
            CriticalEpsilon::Between(envelope) => Points::Between(reached(&envelope.kept), envelope),
            CriticalEpsilon::Unknown | CriticalEpsilon::NotFinite => return None,
        };
        let weight = info.numel() as f64 / critical.n_looked_at() as f64;
        (n > 0).then_some(Self { points, method, n, weight })
    }

    /// The elements that its values stand for.
    fn elements(&self) -> f64 {
        self.n as f64 * self.weight
    }

    fn share_below(&self, epsilon: f64, miss: f64) -> Share {
        let share = |count: u64| count as f64 / self.n as f64;
        let value = share(self.n_below(epsilon));
        let (low, high) = match (&self.points, self.method) {
            (Points::Between(_, envelope), _) => envelope.share_below(epsilon),
            (Points::Bins(bins), _) => (share(up_to(bins, |bin| bin.upper() <= epsilon)), value),
            (Points::Values(_), Method::Sample) => share_interval(value, self.n, miss),
            (Points::Values(_), _) => (value, value),
        };
        Share { value, low, high }
    }

    fn n_below(&self, epsilon: f64) -> u64 {
        match &self.points {
            Points::Values(sorted) => sorted.partition_point(|&value| f64::from(value) < epsilon) as u64,
            Points::Bins(bins) | Points::Between(bins, _) => up_to(bins, |bin| bin.lower() < epsilon),
        }
    }

    fn n_up_to(&self, value: f64) -> u64 {
        match &self.points {
            Points::Values(sorted) => sorted.partition_point(|&found| f64::from(found) <= value) as u64,
            Points::Bins(bins) | Points::Between(bins, _) => up_to(bins, |bin| bin.middle() <= value),
        }
    }
}

/// Bins with the number of elements in them and below.
fn reached(histogram: &Histogram) -> Vec<(BinRange, u64)> {
    let up_to = |sum: &mut u64, (bin, count): (i32, u64)| {
        *sum += count;
        Some((BinRange { bin, bins_per_decade: histogram.bins_per_decade() }, *sum))
    };
    histogram.bins().scan(0, up_to).collect()
}

/// Elements in the leading bins of which something holds.
fn up_to(bins: &[(BinRange, u64)], holds: impl Fn(BinRange) -> bool) -> u64 {
    let n_bins = bins.partition_point(|&(bin, _)| holds(bin));
    n_bins.checked_sub(1).map_or(0, |last| bins[last].1)
}

/// Where the share in the population lies, given that in a sample of n: each end is missed with at most `miss`.
///
/// Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables" (1963), theorem 1, equation (2.1): of a
/// share p, as much as x is found in a sample with probability at most exp(−n·KL(x‖p)); section 6: without replacement
/// as well. Holds at every n and is the exact interval where none or all are found.
fn share_interval(found: f64, n: u64, miss: f64) -> (f64, f64) {
    let limit = -miss.ln() / n as f64;
    let term = |x: f64, p: f64| if x > 0.0 { x * (x / p).ln() } else { 0.0 };
    let is_likely = |share: f64| term(found, share) + term(1.0 - found, 1.0 - share) <= limit;
    // Halvings between the share found, which is likely, and an end, until floats run out.
    let end = |limit: f64| {
        let (mut likely, mut unlikely) = (found, limit);
        for _halving in 0..60 {
            let middle = f64::midpoint(likely, unlikely);
            if is_likely(middle) { likely = middle } else { unlikely = middle }
        }
        unlikely
    };
    (end(0.0), end(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(numel: usize) -> TensorInfo {
        TensorInfo { name: "fc.weight".to_owned(), shape: vec![numel as i64], recorded_elements: numel as u64 }
    }

    fn magnitudes() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec((-30.0..5.0f64).prop_map(|exponent| 10f64.powf(exponent) as f32), 1..60)
    }

    #[test]
    fn an_interval_around_none_of_a_sample_is_the_exact_one() {
        let (low, high) = share_interval(0.0, 256, 0.025);
        assert!(low < 1e-12 && (high - (1.0 - 0.025f64.powf(1.0 / 256.0))).abs() < 1e-12);
        let (low, high) = share_interval(1.0, 256, 0.025);
        assert!(high > 1.0 - 1e-12 && (low - 0.025f64.powf(1.0 / 256.0)).abs() < 1e-12);
    }

    #[test]
    fn a_sample_stands_for_its_whole_tensor() {
        let whole = CriticalEpsilon::from_values(&[1e-3; 10], true);
        let sample = CriticalEpsilon::from_values(&[1e-5, 0.0], false);
        let (of_whole, of_sample) = (info(10), info(60));
        let both = Distribution::of([(&of_whole, &whole), (&of_sample, &sample)]).unwrap();
        // 30 elements of the second tensor are not zero.
        assert!((both.share_below(1e-4, 0.05).value - 0.75).abs() < 1e-12);
        assert_eq!((both.method(), both.sample_size()), (Method::Sample, 11));
    }

    proptest! {
        /// Two tensors known as values are their values put together.
        #[test]
        fn prop_shares_and_quantiles_are_those_of_all_values(
            a in magnitudes(), b in magnitudes(), q in 0.0..0.999f64, exponent in -31.0..6.0f64,
        ) {
            let (of_a, of_b) = (info(a.len()), info(b.len()));
            let known = [&a, &b].map(|values| CriticalEpsilon::from_values(values, true));
            let both = Distribution::of([(&of_a, &known[0]), (&of_b, &known[1])]).unwrap();
            let mut all = [a, b].concat();
            all.sort_by(f32::total_cmp);
            let epsilon = 10f64.powf(exponent);
            let below = all.iter().filter(|&&value| f64::from(value) < epsilon).count() as f64 / all.len() as f64;
            let share = both.share_below(epsilon, 0.05);
            prop_assert!((share.value - below).abs() < 1e-12);
            prop_assert_eq!((share.low, share.high), (share.value, share.value));
            let expected = f64::from(all[(q * all.len() as f64) as usize]);
            prop_assert_eq!(both.quantile(q).total_cmp(&expected), std::cmp::Ordering::Equal);
        }

        /// Bins hold the shares and quantiles of the values that were binned.
        #[test]
        fn prop_bins_hold_what_values_say(values in magnitudes(), q in 0.0..0.999f64, exponent in -31.0..6.0f64) {
            let mut counter = epsiloscope_histogram::Counter::new();
            counter.count(&values);
            let histogram: Histogram = counter.take();
            let known = [CriticalEpsilon::from_values(&values, true), CriticalEpsilon::Bins(histogram)];
            let of = info(values.len());
            let [exact, binned] = known.each_ref().map(|known| Distribution::of([(&of, known)]).unwrap());
            let epsilon = 10f64.powf(exponent);
            let (exact_share, share) = (exact.share_below(epsilon, 0.05).value, binned.share_below(epsilon, 0.05));
            prop_assert!(share.low <= exact_share && exact_share <= share.high);
            // Half a bin.
            prop_assert!((binned.quantile(q) / exact.quantile(q)).log10().abs() <= 1.0 / 80.0 + 1e-6);
        }

        #[test]
        fn prop_shares_grow_with_epsilon(values in magnitudes(), exponents in [-31.0..6.0f64, -31.0..6.0f64]) {
            let known = CriticalEpsilon::from_values(&values, false);
            let of = info(2 * values.len());
            let distribution = Distribution::of([(&of, &known)]).unwrap();
            let mut epsilons = exponents.map(|exponent| 10f64.powf(exponent));
            epsilons.sort_by(f64::total_cmp);
            let [less, more] = epsilons.map(|epsilon| distribution.share_below(epsilon, 0.05));
            prop_assert!(less.value <= more.value && less.low <= more.low && less.high <= more.high);
            prop_assert!(less.low <= less.value && less.value <= less.high);
        }
    }
}

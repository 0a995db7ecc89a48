//! Critical ε from gradient magnitude histograms alone, which do not say which element had which gradient.
//!
//! For Adam, RMSprop, RAdam, Adagrad and EAdam critical ε is an increasing function of v = Σ w·g², a sum over steps with
//! weights w that are the same for every element. Let c be what v would be if every element kept its rank among its
//! tensor's magnitudes at every step: of each rank the sum of w·x², x being the magnitude of that rank at each step. The
//! histograms of all steps give c. Of the true v in ascending order, however the elements changed places,
//!
//! ```text
//! mean of c_0 … c_k  ≤  v_k  ≤  mean of c_k … c_(n−1)
//! ```
//!
//! since the k+1 elements of the least v have at every step a sum of squares no smaller than that of the k+1 least
//! magnitudes, and the greatest of them is no smaller than their mean; from above likewise. (The sub- and superadditivity
//! of expected shortfall: Acerbi & Tasche, "On the coherence of expected shortfall", 2002.) Nothing narrower holds of every
//! run.
//!
//! Elements of neighbouring ranks share a cell, each bound being that of the cell's outermost rank, so that memory does not
//! grow with the tensor. Bins enter with their lower edges from below and their upper edges from above.

use std::collections::BTreeMap;

use epsiloscope_histogram::bins::bin_of;
use epsiloscope_histogram::{BinRange, Histogram};
use epsiloscope_moments::Optimizer;

use crate::order_statistics::indices;

/// Ranks that are told apart in a tensor. The tails that bounds lie in hold a fiftieth of them.
const MAX_CELLS: u64 = 4096;
/// Magnitudes whose squares a moment in `f32` may lose altogether: (1−β2)·g² below 2^-149.
const VANISHING: f64 = 4e-22;

/// Where the magnitudes of a bin lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

impl Place {
    const ZERO: Self = Self { low: 0.0, middle: 0.0, high: 0.0 };

    fn ends(self) -> [f64; 3] {
        [self.low, self.middle, self.high]
    }
}

/// What a source tells of magnitudes that it counted.
pub(crate) trait Places {
    /// Where those of a bin lie.
    fn of_bin(&self, bin: i32) -> Place;
    /// Where those lie that count as zeros.
    fn of_zeros(&self) -> Place;
}

/// The moments that elements would have if each kept its rank.
pub(crate) struct RankMoments {
    numel: u64,
    beta2: f64,
    /// Steps taken, t in the formulas.
    steps: u64,
    /// v from lower edges, middles and upper edges, cell by cell.
    averages: [Vec<f64>; 3],
    /// Σ g² of the same.
    sums: [Vec<f64>; 3],
    /// Zeros at all steps, and how many there were at the step that had the fewest, those that may be zeros included.
    zeros: u64,
    fewest_zeros: u64,
}

impl RankMoments {
    pub(crate) fn new(numel: u64, beta2: f64) -> Self {
        let empty = || [(); 3].map(|()| vec![0.0; numel.min(MAX_CELLS) as usize]);
        Self { numel, beta2, steps: 0, averages: empty(), sums: empty(), zeros: 0, fewest_zeros: numel }
    }

    /// Elements.
    pub(crate) fn numel(&self) -> u64 {
        self.numel
    }

    /// The first rank of a cell, or the end of the last.
    fn first_rank(&self, cell: u64) -> u64 {
        first_rank(self.numel, cell)
    }

    /// Takes the magnitudes of a step, which must be finite and as many as the tensor has elements.
    ///
    /// # Panics
    /// If they are not.
    pub(crate) fn take(&mut self, histogram: &Histogram, places: &impl Places) {
        assert_eq!(histogram.total() + histogram.zeros(), self.numel, "one magnitude per element");
        self.steps += 1;
        let of_zeros = places.of_zeros();
        let vanishing = histogram.bins().take_while(|&(bin, _)| places.of_bin(bin).low < VANISHING);
        self.zeros += if of_zeros == Place::ZERO { histogram.zeros() } else { 0 };
        self.fewest_zeros = self.fewest_zeros.min(histogram.zeros() + vanishing.map(|(_, count)| count).sum::<u64>());
        let mut reached = Vec::with_capacity(1 + histogram.dense().1.len());
        reached.push((histogram.zeros(), of_zeros));
        for (bin, count) in histogram.bins() {
            reached.push((reached[reached.len() - 1].0 + count, places.of_bin(bin)));
        }
        let (kept, taken) = (self.beta2, 1.0 - self.beta2);
        for (end, (averages, sums)) in self.averages.iter_mut().zip(&mut self.sums).enumerate() {
            let mut entries = reached.iter();
            let mut entry = entries.next().copied().unwrap_or((0, Place::ZERO));
            for (cell, (average, sum)) in (0..).zip(averages.iter_mut().zip(sums)) {
                let (first, last) = (first_rank(self.numel, cell), first_rank(self.numel, cell + 1) - 1);
                let rank = [first, u64::midpoint(first, last), last][end];
                while entry.0 <= rank {
                    entry = *entries.next().expect("every rank is counted");
                }
                let square = entry.1.ends()[end].powi(2);
                *average = kept * *average + taken * square;
                *sum += square;
            }
        }
    }

    /// What is known of an optimizer's critical ε after the steps taken; `None` if they do not follow from squares alone.
    pub(crate) fn envelope(&self, optimizer: Optimizer, are_steps_known: bool) -> Option<Envelope> {
        let correction = 1.0 - self.beta2.powf(self.steps as f64);
        let rest = 1.0 - self.beta2;
        let (moments, image): (_, Box<dyn Fn(f64) -> f64>) = match optimizer {
            Optimizer::Adam => (&self.averages, Box::new(move |v| (v / correction).sqrt())),
            Optimizer::RAdam | Optimizer::RmsProp => (&self.averages, Box::new(f64::sqrt)),
            Optimizer::AdaGrad => (&self.sums, Box::new(f64::sqrt)),
            Optimizer::EAdam => (&self.averages, Box::new(move |v| rest * v / correction)),
            Optimizer::AmsGrad
            | Optimizer::RmsPropCentered
            | Optimizer::AdaBelief
            | Optimizer::AdaMomentum
            | Optimizer::Yogi => return None,
        };
        let zeros_at_least = (u128::from(self.zeros) + u128::from(self.numel))
            .saturating_sub(u128::from(self.numel) * u128::from(self.steps)) as u64;
        // What replaying in `f32` may be off by, a rounding for each step.
        let slack = (4 + self.steps) as f64 * 2f64.powi(-24);
        Some(Envelope {
            least: self.histogram(
                self.means_up_to(&moments[0])
                    .map(|v| if v < f64::from(f32::MIN_POSITIVE) { 0.0 } else { image(v) * (1.0 - slack) }),
            ),
            kept: self.histogram(moments[1].iter().map(|&v| image(v))),
            most: self.histogram(self.means_from(&moments[2]).into_iter().map(|v| image(v) * (1.0 + slack))),
            zeros: (zeros_at_least, self.fewest_zeros),
            are_steps_known,
        })
    }

    /// Of each cell the mean from the least rank up to its first.
    fn means_up_to<'a>(&'a self, moments: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        (0..).zip(moments).scan(0.0, |sum, (cell, &moment)| {
            let (first, next) = (self.first_rank(cell), self.first_rank(cell + 1));
            let mean = (*sum + moment) / (first + 1) as f64;
            *sum += moment * (next - first) as f64;
            Some(mean)
        })
    }

    /// Of each cell the mean from its last rank up to the greatest.
    fn means_from(&self, moments: &[f64]) -> Vec<f64> {
        let mut means = vec![0.0; moments.len()];
        let mut sum = 0.0;
        for (cell, &moment) in (0..).zip(moments).collect::<Vec<_>>().into_iter().rev() {
            let (first, next) = (self.first_rank(cell), self.first_rank(cell + 1));
            means[cell as usize] = (sum + moment) / (self.numel - next + 1) as f64;
            sum += moment * (next - first) as f64;
        }
        means
    }

    /// The bins of one value per cell.
    fn histogram(&self, values: impl Iterator<Item = f64>) -> Histogram {
        let (mut counts, mut zeros) = (BTreeMap::new(), 0);
        for (cell, value) in (0..).zip(values) {
            let n_ranks = self.first_rank(cell + 1) - self.first_rank(cell);
            match bin_of((value as f32).min(f32::MAX)) {
                Some(bin) => *counts.entry(bin).or_default() += n_ranks,
                None => zeros += n_ranks,
            }
        }
        Histogram::from_bins(counts).with_counted_apart([zeros, 0, 0, 0])
    }
}

fn first_rank(numel: u64, cell: u64) -> u64 {
    (u128::from(cell) * u128::from(numel) / u128::from(numel.clamp(1, MAX_CELLS))) as u64
}

/// Between what critical ε of a tensor lie, rank by rank. Each histogram is of every element.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// No element's critical ε is smaller, rank by rank; a zero says nothing.
    pub(crate) least: Histogram,
    /// If elements kept their ranks.
    pub(crate) kept: Histogram,
    /// None is greater.
    pub(crate) most: Histogram,
    /// Elements without a gradient at any step: no fewer, no more.
    zeros: (u64, u64),
    /// Whether the histograms of all steps were there. If not, `least` and `most` say nothing.
    are_steps_known: bool,
}

/// A bin, and between which values what is in it lies for certain.
pub(crate) struct Reach {
    pub(crate) value: f64,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
}

impl Envelope {
    /// The lower and the upper order statistic among the non-zero; `None` if there are none.
    pub(crate) fn bounds(&self, percentile: f64) -> Option<[Reach; 2]> {
        let n = self.kept.total() + self.kept.zeros();
        let ranks = |zeros: u64| {
            let (lower, upper) = (zeros < n).then(|| indices(percentile, (n - zeros) as usize))?;
            Some([zeros + lower as u64, zeros + upper as u64])
        };
        let [low, value, high] = [self.zeros.0, self.kept.zeros(), self.zeros.1].map(ranks);
        let value = value?;
        Some([0, 1].map(|side| Reach {
            value: at(&self.kept, value[side]).map_or(0.0, BinRange::middle),
            low: self.known(low.and_then(|low| at(&self.least, low[side])).map(BinRange::lower)),
            high: self.known(high.and_then(|high| at(&self.most, high[side])).map(BinRange::upper)),
        }))
    }

    fn known<T>(&self, end: Option<T>) -> Option<T> {
        end.filter(|_| self.are_steps_known)
    }

    /// Between what the share of the non-zero elements lies whose critical ε is below some value.
    pub(crate) fn share_below(&self, epsilon: f64) -> (f64, f64) {
        if !self.are_steps_known {
            return (0.0, 1.0);
        }
        let n = (self.kept.total() + self.kept.zeros()) as f64;
        let below = |histogram: &Histogram, is_below: &dyn Fn(BinRange) -> bool| {
            let bins_per_decade = histogram.bins_per_decade();
            let bins = histogram.bins().filter(|&(bin, _)| is_below(BinRange { bin, bins_per_decade }));
            (histogram.zeros() + bins.map(|(_, count)| count).sum::<u64>()) as f64
        };
        let share = |below: f64, zeros: u64| {
            let zeros = zeros as f64;
            if zeros < n { ((below - zeros) / (n - zeros)).clamp(0.0, 1.0) } else { 0.0 }
        };
        let least = share(below(&self.most, &|bin| bin.upper() <= epsilon), self.zeros.1);
        let most = share(below(&self.least, &|bin| bin.lower() < epsilon), self.zeros.0);
        (least, if self.zeros.1 as f64 >= n { 1.0 } else { most })
    }
}

/// The bin at a rank, zeros counted; `None` if it is one of them.
fn at(histogram: &Histogram, rank: u64) -> Option<BinRange> {
    histogram.order_statistic(rank.checked_sub(histogram.zeros())?)
}

#[cfg(test)]
mod tests {
    use epsiloscope_histogram::Counter;
    use epsiloscope_histogram::bins::lower_edge;
    use epsiloscope_moments::{Decay, Moments};
    use proptest::prelude::*;

    use super::*;

    struct OurBins;

    impl Places for OurBins {
        fn of_bin(&self, bin: i32) -> Place {
            let range = BinRange { bin, bins_per_decade: 40 };
            Place { low: lower_edge(bin, 40), middle: range.middle(), high: range.upper() }
        }

        fn of_zeros(&self) -> Place {
            Place::ZERO
        }
    }

    fn counted(values: &[f32]) -> Histogram {
        let mut counter = Counter::new();
        counter.count(values);
        counter.take()
    }

    /// Gradients step by step: of elements with scales of their own, with noise, some zero.
    fn gradients() -> impl Strategy<Value = Vec<Vec<f32>>> {
        (1usize..40, 1usize..9).prop_flat_map(|(numel, steps)| {
            let exponent = prop_oneof![8 => (-12.0..3.0f64).boxed(), 1 => Just(f64::NEG_INFINITY).boxed()];
            let scale = proptest::collection::vec(exponent, numel);
            let noise = proptest::collection::vec(
                proptest::collection::vec(
                    prop_oneof![5 => (-2.0..1.0f64).boxed(), 1 => Just(f64::NEG_INFINITY).boxed()],
                    numel,
                ),
                steps,
            );
            (scale, noise).prop_map(|(scale, noise)| {
                let of_step =
                    |noise: Vec<f64>| scale.iter().zip(noise).map(|(s, n)| 10f64.powf(s + n) as f32).collect();
                noise.into_iter().map(of_step).collect()
            })
        })
    }

    const FROM_SQUARES: [Optimizer; 5] =
        [Optimizer::Adam, Optimizer::RAdam, Optimizer::RmsProp, Optimizer::AdaGrad, Optimizer::EAdam];

    proptest! {
        /// Whatever the elements did, the replayed order statistics lie where the histograms say.
        #[test]
        fn prop_histograms_bound_what_replaying_gives(
            gradients in gradients(), beta2 in 0.5..0.9999f64, percentile in 0.51..0.99f64, exponent in -14.0..4.0f64,
        ) {
            let numel = gradients[0].len();
            let mut ranks = RankMoments::new(numel as u64, beta2);
            for step in &gradients {
                ranks.take(&counted(step), &OurBins);
            }
            for optimizer in FROM_SQUARES {
                let mut moments = Moments::new(optimizer, Decay { beta1: 0.9, beta2 }, numel);
                for step in &gradients {
                    moments.update(0, step);
                    moments.end_step();
                }
                let mut sorted: Vec<f32> = moments.critical_epsilon().into_iter().filter(|&value| value != 0.0).collect();
                sorted.sort_by(f32::total_cmp);
                let envelope = ranks.envelope(optimizer, true).unwrap();
                prop_assert_eq!(envelope.kept.numel(), numel as u64);
                let epsilon = 10f64.powf(exponent);
                let (low, high) = envelope.share_below(epsilon);
                prop_assert!(low <= high);
                let Some(bounds) = envelope.bounds(percentile) else {
                    prop_assert!(sorted.is_empty());
                    continue;
                };
                if sorted.is_empty() {
                    continue;
                }
                let below = sorted.iter().filter(|&&value| f64::from(value) < epsilon).count() as f64;
                let share = below / sorted.len() as f64;
                prop_assert!(low <= share && share <= high, "{} {} {} {}", optimizer, low, share, high);
                let (lower, upper) = indices(percentile, sorted.len());
                for (reach, rank) in bounds.iter().zip([lower, upper]) {
                    let exact = f64::from(sorted[rank]);
                    prop_assert!(reach.low.is_none_or(|low| low <= exact), "{} {:?} {}", optimizer, reach.low, exact);
                    prop_assert!(reach.high.is_none_or(|high| exact <= high), "{} {:?} {}", optimizer, reach.high, exact);
                    prop_assert!(reach.low.is_none_or(|low| low <= reach.value));
                    prop_assert!(reach.high.is_none_or(|high| reach.value <= high));
                }
            }
        }
    }

    /// One step, and elements that keep their ranks: the histogram of gradients is that of critical ε.
    #[test]
    fn where_ranks_are_kept_the_value_is_the_bin_that_replaying_gives() {
        let magnitudes: Vec<f32> = (0..50_000).map(|index| 10f32.powf(-6.0 + index as f32 / 10_000.0)).collect();
        let mut ranks = RankMoments::new(50_000, 0.999);
        for scale in [1.0, 0.5, 2.0] {
            let step: Vec<f32> = magnitudes.iter().map(|magnitude| scale * magnitude).collect();
            ranks.take(&counted(&step), &OurBins);
        }
        let expected = (magnitudes[1000], magnitudes[49_000]);
        let [lower, upper] = ranks.envelope(Optimizer::Adam, true).unwrap().bounds(0.98).unwrap();
        for (found, expected) in [(lower, expected.0), (upper, expected.1)] {
            let expected = f64::from(expected) * (5.25f64 / 3.0).sqrt();
            // A bin, a cell and the decay of three steps.
            assert!((found.value / expected).log10().abs() < 0.03, "{} {expected}", found.value);
            assert!(found.low.unwrap() <= expected && expected <= found.high.unwrap());
        }
    }

    #[test]
    fn what_needs_single_elements_is_not_answered_and_unknown_steps_leave_no_bounds() {
        let mut ranks = RankMoments::new(3, 0.999);
        ranks.take(&counted(&[1e-3, 1e-2, 1e-1]), &OurBins);
        for optimizer in Optimizer::ALL {
            assert_eq!(ranks.envelope(optimizer, true).is_some(), FROM_SQUARES.contains(&optimizer), "{optimizer}");
        }
        let unknown = ranks.envelope(Optimizer::Adam, false).unwrap();
        let [lower, upper] = unknown.bounds(0.98).unwrap();
        assert!([lower.low, lower.high, upper.low, upper.high].iter().all(Option::is_none));
        assert_eq!(unknown.share_below(1e-2), (0.0, 1.0));
    }
}

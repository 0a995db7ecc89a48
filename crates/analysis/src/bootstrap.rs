//! The bootstrap: how far a bound moves when its sample is drawn again from itself (Efron, The Annals of Statistics
//! 7, 1979; intervals by percentiles).
//!
//! Nothing is copied or sorted for it. Drawing n of n values with replacement is drawing n uniform numbers U and taking
//! the values at ⌊n·U⌋, so the resample's k-th value is the one at ⌊n·U₍ₖ₎⌋; and U₍ₖ₎ is found bit by bit: of n numbers as
//! many begin with 0 as n tosses of a coin show heads, and only the half that holds the k-th goes on. That takes
//! 2·n random bits, counted 64 at a time, and no rounding: every machine draws the same.

/// A stream of random bits: the i-th word is a hash of the stream's key and i (splitmix64: Steele, Lea & Flood, OOPSLA
/// 2014).
pub(crate) struct Bits {
    state: u64,
}

impl Bits {
    /// The stream of a seed and of what is drawn.
    pub(crate) fn new(seed: u64, subject: [u64; 2]) -> Self {
        let state = subject.into_iter().fold(mixed(seed), |state, part| mixed(state.wrapping_add(STRIDE) ^ part));
        Self { state }
    }

    fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STRIDE);
        mixed(self.state)
    }

    /// Heads of n tosses: binomial(n, 1/2).
    fn heads(&mut self, n: u64) -> u64 {
        let whole: u64 = (0..n / 64).map(|_| u64::from(self.word().count_ones())).sum();
        let rest = if n.is_multiple_of(64) { 0 } else { self.word() >> (64 - n % 64) };
        whole + u64::from(rest.count_ones())
    }

    /// How many of n uniform numbers lie below `part / whole`: binomial, to 2^-64.
    pub(crate) fn below(&mut self, mut n: u64, part: u64, whole: u64) -> u64 {
        if part >= whole {
            return n;
        }
        let share = ((u128::from(part) << 64) / u128::from(whole)) as u64;
        let mut below = 0;
        for bit in (0..u64::BITS).rev() {
            if n == 0 || share << (u64::BITS - 1 - bit) == 0 {
                break;
            }
            let zeros = self.heads(n);
            if share >> bit & 1 == 1 {
                below += zeros;
                n -= zeros;
            } else {
                n = zeros;
            }
        }
        below
    }

    /// The `rank`-th of n uniform numbers in ascending order, counted from 0, in units of 2^-64.
    fn order_statistic(&mut self, mut n: u64, mut rank: u64) -> u64 {
        let mut value = 0;
        for bit in (0..u64::BITS).rev() {
            if n == 1 {
                return value | (self.word() >> (u64::BITS - 1 - bit));
            }
            let zeros = self.heads(n);
            if rank < zeros {
                n = zeros;
            } else {
                (n, rank) = (n - zeros, rank - zeros);
                value |= 1 << bit;
            }
        }
        value
    }

    /// The index of the `rank`-th of n values that were drawn with replacement from `len` ascending ones.
    pub(crate) fn resampled(&mut self, len: usize, n: u64, rank: u64) -> usize {
        ((u128::from(self.order_statistic(n, rank)) * len as u128) >> 64) as usize
    }
}

/// The golden ratio's fraction, as splitmix64 steps.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64.
fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// The interval that leaves equal shares of the replicates outside, `confidence` inside; `None` without replicates.
pub(crate) fn percentile_interval(mut replicates: Vec<f64>, confidence: f64) -> Option<(f64, f64)> {
    replicates.sort_unstable_by(f64::total_cmp);
    let last = replicates.len().checked_sub(1)?;
    let outside = ((1.0 - confidence) / 2.0 * replicates.len() as f64) as usize;
    let low = outside.min(last / 2);
    Some((replicates[low], replicates[last - low]))
}

/// The bootstrap interval of a statistic of a few values, such as those of several runs.
///
/// `None` if there are fewer than two values or no replicate is asked for. The result depends on the order of the
/// values only if the statistic does not.
///
/// # Examples
/// ```
/// use epsiloscope_analysis::bootstrap_over;
///
/// let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
/// let (low, high) = bootstrap_over(&[-5.1, -4.9, -5.0, -5.2], mean, 1000, 0, 0.95).unwrap();
/// assert!(-5.2 <= low && low < -5.05 && -5.05 < high && high <= -4.9);
/// ```
pub fn bootstrap_over(
    values: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    replicates: u32,
    seed: u64,
    confidence: f64,
) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let replicate = |index| {
        let mut bits = Bits::new(seed, [index, values.len() as u64]);
        let drawn: Vec<f64> = (0..values.len()).map(|_| sorted[bits.resampled(sorted.len(), 1, 0)]).collect();
        statistic(&drawn)
    };
    percentile_interval((0..u64::from(replicates)).map(replicate).collect(), confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean and variance of draws lie within five standard errors of what they should be.
    fn assert_moments(draws: &[f64], mean: f64, variance: f64) {
        let n = draws.len() as f64;
        let found_mean = draws.iter().sum::<f64>() / n;
        let found_variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / n;
        assert!((found_mean - mean).abs() < 5.0 * (variance / n).sqrt(), "mean {found_mean}, not {mean}");
        // A normal variable's squared deviation has twice the squared variance; these are near enough to normal.
        let error = (3.0 * variance * variance / n).sqrt();
        assert!((found_variance - variance).abs() < 5.0 * error, "variance {found_variance}, not {variance}");
    }

    #[test]
    fn counts_below_a_share_are_binomial() {
        for (n, part, whole) in [(1, 1, 3), (63, 1, 50), (64, 1, 2), (4096, 49, 50), (100_000, 1, 1000)] {
            let share = part as f64 / whole as f64;
            let draws: Vec<f64> =
                (0..4000).map(|index| Bits::new(7, [index, n]).below(n, part, whole) as f64).collect();
            assert_moments(&draws, n as f64 * share, n as f64 * share * (1.0 - share));
        }
        assert_eq!(Bits::new(0, [0, 0]).below(10, 3, 3), 10);
        assert_eq!(Bits::new(0, [0, 0]).below(10, 0, 3), 0);
    }

    /// The k-th of n uniform numbers is beta-distributed with parameters k and n + 1 − k, k counted from 1.
    #[test]
    fn order_statistics_are_beta() {
        for (n, rank) in [(1, 0), (5, 4), (100, 2), (4096, 81)] {
            let (a, b) = ((rank + 1) as f64, (n - rank) as f64);
            let uniform = |bits: u64| bits as f64 / 2f64.powi(64);
            let draws: Vec<f64> =
                (0..4000).map(|index| uniform(Bits::new(3, [index, n]).order_statistic(n, rank))).collect();
            assert_moments(&draws, a / (a + b), a * b / ((a + b).powi(2) * (a + b + 1.0)));
        }
    }

    /// Against the slow way: draw n indices, sort, look.
    #[test]
    fn resampled_ranks_are_distributed_as_those_of_drawn_indices() {
        let (len, rank, n_trials) = (40usize, 3usize, 4000u64);
        let mut bits = Bits::new(11, [0, 0]);
        let mut slow = |_| {
            let mut drawn: Vec<usize> = (0..len).map(|_| (bits.word() % len as u64) as usize).collect();
            drawn.sort_unstable();
            drawn[rank]
        };
        let mut difference = vec![0i64; len];
        for trial in 0..n_trials {
            difference[slow(trial)] -= 1;
            difference[Bits::new(5, [trial, 0]).resampled(len, len as u64, rank as u64)] += 1;
        }
        // Kolmogorov and Smirnov: 1.95·sqrt(2/n) is exceeded once in a thousand times.
        let mut sum = 0i64;
        let farthest = difference
            .iter()
            .map(|step| {
                sum += step;
                sum.abs()
            })
            .max()
            .unwrap();
        assert!((farthest as f64) < 1.95 * (2.0 * n_trials as f64).sqrt(), "{farthest}");
    }

    #[test]
    fn intervals_over_few_values_depend_on_the_seed_alone() {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let interval = |values: &[f64], seed| bootstrap_over(values, mean, 500, seed, 0.9);
        assert_eq!(interval(&[1.0, 2.0, 4.0], 1), interval(&[4.0, 1.0, 2.0], 1));
        assert_eq!(interval(&[2.0, 2.0], 1), Some((2.0, 2.0)));
        assert_eq!((interval(&[2.0], 1), interval(&[], 1)), (None, None));
        assert_eq!(bootstrap_over(&[1.0, 2.0], mean, 0, 1, 0.9), None);
    }
}

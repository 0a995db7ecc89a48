//! The bootstrap over a handful of values, seeded.

/// Resamples of a [`mean_interval`].
pub const N_RESAMPLES: usize = 1000;

/// Where the mean of so many further values would lie with the given confidence, by the percentile bootstrap (Efron &
/// Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13); `None` of fewer than two values.
///
/// The same values in the same order give the same interval on every machine.
///
/// # Examples
/// ```
/// use epsiloscope_analysis::bootstrap::mean_interval;
///
/// let (low, high) = mean_interval(&[1.0, 2.0, 3.0, 4.0], 0.95, 0).expect("several values");
/// assert!(1.0 <= low && low < 2.5 && 2.5 < high && high <= 4.0);
/// assert_eq!(mean_interval(&[1.0], 0.95, 0), None);
/// ```
pub fn mean_interval(values: &[f64], confidence: f64, seed: u64) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let drawn = |draw: usize| values[index(seed, draw as u64, values.len())];
    let mean = |resample: usize| {
        let draws = resample * values.len()..(resample + 1) * values.len();
        draws.map(drawn).sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..N_RESAMPLES).map(mean).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((share * N_RESAMPLES as f64) as usize).min(N_RESAMPLES - 1)];
    let miss = (1.0 - confidence) / 2.0;
    Some((at(miss), at(1.0 - miss)))
}

/// An index below n, drawn uniformly: the high bits of a product with a hashed counter (Lemire, arXiv 1805.10941; its
/// bias is below n/2^64).
fn index(seed: u64, draw: u64, n: usize) -> usize {
    ((u128::from(hashed(seed, draw)) * n as u128) >> 64) as usize
}

/// Splitmix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014) at a place of its sequence.
fn hashed(seed: u64, place: u64) -> u64 {
    let state = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its author's C program prints these from the seed 1234567.
    #[test]
    fn draws_are_splitmix64s() {
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([0, 1, 2].map(|place| hashed(1_234_567, place)), expected);
    }

    /// The mean of ten values with deviation s has itself a deviation of s/sqrt(10), and 95 % of a normal variate lies
    /// within 1.96 of them.
    #[test]
    fn the_interval_is_about_as_wide_as_the_mean_is_uncertain() {
        let values: Vec<f64> = (0..10).map(f64::from).collect();
        let (low, high) = mean_interval(&values, 0.95, 7).unwrap();
        let deviation = (8.25f64 / 10.0).sqrt();
        assert!((low - (4.5 - 1.96 * deviation)).abs() < 0.3 && (high - (4.5 + 1.96 * deviation)).abs() < 0.3);
    }
}

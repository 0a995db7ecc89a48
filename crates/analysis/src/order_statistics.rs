//! Which order statistics bound the search space, and how sure a sample of them is.

/// The paper's order statistics: indices into n ascending values, counted from 0, without interpolation.
///
/// Lower `int((1−p)·n)`, upper `int(p·n)`, products in `f64` as the authors' Python computes them.
pub(crate) fn indices(percentile: f64, n: usize) -> (usize, usize) {
    let index = |share: f64| ((share * n as f64) as usize).min(n - 1);
    (index(1.0 - percentile), index(percentile))
}

/// Ranks between which the population's order statistic lies, given n sampled values in ascending order.
///
/// The number of sampled values at or below the population's quantile q is binomial(n, q) (hypergeometric, which is
/// tighter, for a sample without replacement). So the value at rank `low` exceeds the quantile with probability
/// P(X ≤ low) and the value at rank `high` falls short of it with probability P(X > high); each is at most
/// `miss`. `None`: not even the sample's extreme is that sure. (The textbook interval: Conover, Practical
/// Nonparametric Statistics, section 3.2.)
pub(crate) fn confidence_ranks(n: usize, quantile: f64, miss: f64) -> (Option<usize>, Option<usize>) {
    let (mut low, mut high) = (None, None);
    let mut cumulative = 0.0;
    let mut ln_mass = n as f64 * (1.0 - quantile).ln();
    let ln_odds = quantile.ln() - (1.0 - quantile).ln();
    for rank in 0..n {
        cumulative += ln_mass.exp();
        if cumulative <= miss {
            low = Some(rank);
        }
        if high.is_none() && 1.0 - cumulative <= miss {
            high = Some(rank);
        }
        ln_mass += ((n - rank) as f64).ln() - ((rank + 1) as f64).ln() + ln_odds;
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_those_of_the_authors_python() {
        // int((1 - 0.98) * n), int(0.98 * n), computed by CPython.
        let expected = [
            (1, 0, 0),
            (49, 0, 48),
            (50, 1, 49),
            (100, 2, 98),
            (150, 3, 147),
            (4608, 92, 4515),
            (1_000_000, 20_000, 980_000),
        ];
        for (n, lower, upper) in expected {
            assert_eq!(indices(0.98, n), (lower, upper), "n = {n}");
        }
    }

    #[test]
    fn ranks_are_those_of_the_binomial_distribution() {
        // Computed with exact fractions in Python.
        assert_eq!(confidence_ranks(4096, 0.02, 0.025), (Some(64), Some(100)));
        assert_eq!(confidence_ranks(100, 0.02, 0.025), (None, Some(5)));
        assert_eq!(confidence_ranks(100, 0.98, 0.025), (Some(94), None));
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        // Uniform values by a linear congruential generator; the true quantile is q itself.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let (n, quantile, n_trials) = (500, 0.02, 4000);
        let (low, high) = confidence_ranks(n, quantile, 0.05);
        let (low, high) = (low.unwrap(), high.unwrap());
        let mut n_missed = 0;
        for _trial in 0..n_trials {
            let mut values: Vec<f64> = (0..n).map(|_| uniform()).collect();
            values.sort_by(f64::total_cmp);
            n_missed += usize::from(values[low] > quantile || values[high] < quantile);
        }
        // At most one in ten, plus four standard deviations of the trials.
        assert!(n_missed as f64 <= 0.1 * f64::from(n_trials) + 4.0 * (0.09 * f64::from(n_trials)).sqrt(), "{n_missed}");
    }
}

//! Whether a difference is more than the seeds make.

/// Student's t of which 95 % lie below, for 1 to 30 degrees of freedom.
const T_95: [f64; 30] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753, 1.746,
    1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697,
];

/// Whether costs are no worse than the best ones by more than their difference from seed to seed explains: the mean of the
/// differences at equal seeds is at most t·s/sqrt(K), for their standard deviation s over K seeds and the one-sided 95 %
/// of Student's t. `None` of fewer than two seeds.
///
/// The best is the best of many, hence luckier than the others: what lies within noise of it may be better in truth.
pub(crate) fn is_within(best: &[f64], other: &[f64]) -> Option<bool> {
    let n = best.len().min(other.len());
    if n < 2 {
        return None;
    }
    let differences: Vec<f64> = best.iter().zip(other).map(|(best, other)| other - best).collect();
    let mean = differences.iter().sum::<f64>() / n as f64;
    let variance = differences.iter().map(|of| (of - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    Some(mean <= t_95(n - 1) * (variance / n as f64).sqrt())
}

fn t_95(degrees: usize) -> f64 {
    // Beyond the table the first term of Fisher's expansion.
    let z: f64 = 1.644_853_626_951_472_6;
    T_95.get(degrees - 1).copied().unwrap_or(z + (z.powi(3) + z) / (4 * degrees) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against Simpson's rule over the density.
    #[test]
    fn the_table_is_students() {
        for degrees in [1, 2, 3, 5, 9, 10, 17, 24, 29, 30, 31, 60] {
            let of = degrees as f64;
            let density = |t: f64| (1.0 + t * t / of).powf(-f64::midpoint(of, 1.0));
            let integral = |end: f64| {
                let step = end / 4000.0;
                let weight = |i: i32| if i == 0 || i == 4000 { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
                (0..=4000).map(|i| weight(i) * density(step * f64::from(i))).sum::<f64>() * step / 3.0
            };
            // The mass of half the line, by the substitution t = tan φ.
            let half: f64 = {
                let step = std::f64::consts::FRAC_PI_2 / 20_000.0;
                (0..20_000)
                    .map(|i| step * (f64::from(i) + 0.5))
                    .map(|angle| step * density(angle.tan()) / angle.cos().powi(2))
                    .sum()
            };
            let share = 0.5 + 0.5 * integral(t_95(degrees)) / half;
            assert!((share - 0.95).abs() < 2e-4, "{degrees}: {share}");
        }
    }

    #[test]
    fn differences_count_at_equal_seeds() {
        let best = [1.0, 5.0, 3.0];
        assert_eq!(is_within(&best, &[1.1, 5.1, 3.1]), Some(false));
        assert_eq!(is_within(&best, &[1.3, 4.9, 3.0]), Some(true));
        assert_eq!(is_within(&best, &best), Some(true));
        assert_eq!(is_within(&[1.0], &[1.0]), None);
    }
}

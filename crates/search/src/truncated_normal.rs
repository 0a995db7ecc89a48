//! The normal distribution between two ends.
//!
//! Of density φ((x−m)/s) / (s·(Φ(β) − Φ(α))) for low ≤ x ≤ high, with α = (low−m)/s and β = (high−m)/s. Drawn by the
//! inverse of its distribution function, from whichever tail is the smaller, so that no digits cancel; Φ by the
//! complementary error function, Φ⁻¹ by algorithm AS 241 (Wichura, Applied Statistics 37, 1988), good to 1e-15 or so.

use libm::erfc;

/// A normal distribution cut off at two ends, with its mean before the cut between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruncatedNormal {
    /// Between `low` and `high`.
    mean: f64,
    /// Positive.
    deviation: f64,
    low: f64,
    high: f64,
}

impl TruncatedNormal {
    /// The distribution; a mean outside the ends is moved to the nearer one.
    ///
    /// # Panics
    /// Unless the ends ascend and are finite, and the deviation is positive.
    pub fn new(mean: f64, deviation: f64, (low, high): (f64, f64)) -> Self {
        assert!(low < high && (high - low).is_finite() && 0.0 < deviation, "{low} to {high}, deviation {deviation}");
        Self { mean: mean.clamp(low, high), deviation, low, high }
    }

    /// The number below which a share `p` of the distribution lies, 0 ≤ p ≤ 1.
    pub fn quantile(&self, p: f64) -> f64 {
        let (alpha, beta) = ((self.low - self.mean) / self.deviation, (self.high - self.mean) / self.deviation);
        // What lies outside the ends, and inside on either side of the mean.
        let (below, above) = (cumulative(alpha), cumulative(-beta));
        let (left, right) = (0.5 - below, 0.5 - above);
        let mass = p * (left + right);
        let standard =
            if mass < left { inverse(below + mass) } else { -inverse((above + (left + right - mass)).min(0.5)) };
        // Where Φ(α) leaves no digit for the inverse, and where the distribution is as good as even.
        let x = if left + right < 1e-12 {
            self.low + p * (self.high - self.low)
        } else {
            self.mean + self.deviation * standard
        };
        x.clamp(self.low, self.high)
    }
}

/// Φ(z), with all its digits where z is negative.
fn cumulative(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

/// Φ⁻¹(p) for p from 0 to 0.5; −∞ at 0.
fn inverse(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.425 * 0.425 - q * q;
        return q * polynomial(r, &CENTRE[0]) / polynomial(r, &CENTRE[1]);
    }
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let r = (-p.ln()).sqrt();
    if r <= 5.0 {
        -polynomial(r - 1.6, &NEAR[0]) / polynomial(r - 1.6, &NEAR[1])
    } else {
        -polynomial(r - 5.0, &FAR[0]) / polynomial(r - 5.0, &FAR[1])
    }
}

/// Coefficients by ascending power.
fn polynomial(x: f64, coefficients: &[f64; 8]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// AS 241, PPND16: numerator and denominator within 0.425 of the middle.
const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
];
/// Where sqrt(−ln p) is at most 5.
const NEAR: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_545,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
/// Beyond.
const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_inverse_inverts() {
        for p in [1e-300, 1e-100, 1e-30, 1e-12, 1e-7, 1e-3, 0.02, 0.074, 0.076, 0.2, 0.4999, 0.5] {
            let found = cumulative(inverse(p));
            // Φ's own condition number in the far tail is z².
            assert!((found / p - 1.0).abs() < 1e-12, "{p}: {found}");
        }
        assert!((inverse(0.025) + 1.959_963_984_540_054).abs() < 1e-14);
    }

    /// Mean and variance by Simpson's rule over the density.
    fn moments_by_integral(of: &TruncatedNormal) -> (f64, f64) {
        let n = 20_000;
        let step = (of.high - of.low) / f64::from(n);
        let mut sums = [0.0; 3];
        for i in 0..=n {
            let x = of.low + step * f64::from(i);
            let weight = if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            let density = weight * (-0.5 * ((x - of.mean) / of.deviation).powi(2)).exp();
            for (power, sum) in sums.iter_mut().enumerate() {
                *sum += density * (x - of.mean).powi(power as i32);
            }
        }
        let mean = sums[1] / sums[0];
        (of.mean + mean, sums[2] / sums[0] - mean * mean)
    }

    /// The same over evenly spaced quantiles.
    fn moments_by_quantiles(of: &TruncatedNormal) -> (f64, f64) {
        let n = 20_000;
        let draws: Vec<f64> = (0..n).map(|i| of.quantile((f64::from(i) + 0.5) / f64::from(n))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn prop_moments_are_those_of_the_density(
            low in -20.0..5.0f64, width in 0.1..12.0f64, place in 0.0..=1.0f64, spread in -2.0..2.0f64,
        ) {
            let deviation = width * 10f64.powf(spread);
            let of = TruncatedNormal::new(low + place * width, deviation, (low, low + width));
            let (expected, found) = (moments_by_integral(&of), moments_by_quantiles(&of));
            let scale = deviation.min(width);
            prop_assert!((expected.0 - found.0).abs() < 1e-3 * scale, "{expected:?} {found:?}");
            prop_assert!((expected.1 - found.1).abs() < 2e-3 * scale * scale, "{expected:?} {found:?}");
        }

        #[test]
        fn prop_quantiles_ascend_from_end_to_end(
            low in -20.0..5.0f64, width in 1e-3..12.0f64, place in 0.0..=1.0f64, spread in -8.0..12.0f64,
            p in 0.0..1.0f64, more in 0.0..1.0f64,
        ) {
            let ends = (low, low + width);
            let of = TruncatedNormal::new(low + place * width, width * 10f64.powf(spread), ends);
            let [a, b] = [p.min(more), p.max(more)].map(|p| of.quantile(p));
            prop_assert!(ends.0 <= a && a <= b + 1e-9 * width && b <= ends.1);
        }
    }
}

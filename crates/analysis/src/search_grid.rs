//! Which values of ε to try, and how many fewer than trial and error would.

use std::fmt;
use std::str::FromStr;

use epsiloscope_moments::Convention;

/// The range that is searched where nothing is known: that of the grids in the published experiments of Silva &
/// Rodriguez (arXiv 2311.11532), or one's own.
///
/// Optimizers that are not in those experiments take the range of the one whose ε stands where theirs does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum TrialRange {
    /// Of image classification: 1e-8 to 1e-1; where ε is added inside the root, 1e-16 to 1e-4.
    #[default]
    Images,
    /// Of language modelling: 1e-9 to 1e-3; where ε is added inside the root, 1e-20 to 1e-8.
    Language,
    /// Some other range for every optimizer.
    Own {
        /// Its least ε.
        lower: f64,
        /// Its greatest.
        upper: f64,
    },
}

impl TrialRange {
    /// Its ends for an optimizer.
    pub fn ends(self, optimizer: Convention) -> (f64, f64) {
        let is_inside = optimizer.optimizer().degree() == 2 || optimizer.is_inside_root();
        match (self, is_inside) {
            (Self::Images, false) => (1e-8, 1e-1),
            (Self::Images, true) => (1e-16, 1e-4),
            (Self::Language, false) => (1e-9, 1e-3),
            (Self::Language, true) => (1e-20, 1e-8),
            (Self::Own { lower, upper }, _) => (lower, upper),
        }
    }
}

/// A range that is neither named nor two positive numbers in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRange(String);

impl fmt::Display for UnknownRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown range {:?}: expected images, language or one like 1e-8..1e-1", self.0)
    }
}

impl std::error::Error for UnknownRange {}

impl FromStr for TrialRange {
    type Err = UnknownRange;

    fn from_str(text: &str) -> Result<Self, UnknownRange> {
        let own = || {
            let (lower, upper) = text.split_once("..")?;
            let (lower, upper): (f64, f64) = (lower.parse().ok()?, upper.parse().ok()?);
            (0.0 < lower && lower < upper && upper.is_finite()).then_some(Self::Own { lower, upper })
        };
        match text {
            "images" => Ok(Self::Images),
            "language" => Ok(Self::Language),
            _ => own().ok_or_else(|| UnknownRange(text.to_owned())),
        }
    }
}

/// Candidates from 10^`lower` to 10^`upper`: every power of ten, or so many `points` evenly apart on the logarithmic axis.
///
/// No step beyond either end: at the lower one ε has no effect on nearly every element, at the upper one it rules nearly
/// all of them, so that smaller and greater values would only repeat them. Of one point, the middle.
pub fn grid((lower, upper): (i32, i32), points: Option<usize>) -> Vec<f64> {
    match points {
        None => (lower..=upper).map(power_of_ten).collect(),
        Some(_) if lower == upper => vec![power_of_ten(lower)],
        Some(1) => vec![at(f64::from(lower + upper) / 2.0)],
        Some(n) => {
            let step = f64::from(upper - lower) / (n.max(2) - 1) as f64;
            (0..n).map(|point| at(f64::from(lower) + step * point as f64)).collect()
        }
    }
}

/// The float nearest to a power of ten, which `powf` may miss.
pub(crate) fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().expect("a number in scientific notation")
}

fn at(exponent: f64) -> f64 {
    let nearest = exponent.round();
    if (exponent - nearest).abs() < 1e-9 { power_of_ten(nearest as i32) } else { 10f64.powf(exponent) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grid_is_the_powers_of_ten_or_as_many_points_as_asked_for() {
        assert_eq!(grid((-4, -1), None), [1e-4, 1e-3, 1e-2, 1e-1]);
        assert_eq!(grid((-4, -1), Some(2)), [1e-4, 1e-1]);
        assert_eq!(grid((-8, -2), Some(3)), [1e-8, 1e-5, 1e-2]);
        assert_eq!(grid((-8, -2), Some(1)), [1e-5]);
        assert_eq!((grid((-3, -3), Some(5)), grid((-3, -3), None)), (vec![1e-3], vec![1e-3]));
    }

    #[test]
    fn ranges_are_named_or_written_out() {
        assert_eq!("images".parse(), Ok(TrialRange::Images));
        assert_eq!("1e-6..1e0".parse(), Ok(TrialRange::Own { lower: 1e-6, upper: 1.0 }));
        for wrong in ["", "1e-3", "1e-1..1e-3", "0..1", "1e-3..inf", "wide"] {
            assert!(wrong.parse::<TrialRange>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn prop_grids_ascend_from_end_to_end(lower in -30..10i32, width in 1..30i32, points in 2..40usize) {
            let grid = grid((lower, lower + width), Some(points));
            prop_assert_eq!(grid.len(), points);
            prop_assert!(grid.is_sorted_by(|a, b| a < b));
            prop_assert_eq!((grid[0], grid[points - 1]), (power_of_ten(lower), power_of_ten(lower + width)));
        }
    }
}

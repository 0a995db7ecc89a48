//! Functions that follow a power law, whose values are counted without being computed.
//!
//! Where `F(x) = c·x^p` but for roundings, the bin of F(x) is the floor of `40·log10 F(x) = p·40·log10 x + 40·log10 c`:
//! as cheap as the bin of x itself. [`Counter::observe_images`](crate::Counter::observe_images) finds it so, and
//! computes F only where that would decide. What counts is the bin of F(x) as computed, roundings included.

use std::ops::Range;

use crate::Summary;
use crate::bins::{SlotTable, slot, slot_of};

/// What an offset may come to, in bins; the error budget of the logarithm counts on it.
const MAX_OFFSET: f64 = 700.0;
/// From a bin to beyond the next one, whatever the power.
const TWO_BINS: f32 = 1.3;

/// The power of x that a function is proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// c·x.
    One,
    /// c·√x.
    Half,
}

impl Power {
    fn exponent(self) -> f64 {
        match self {
            Self::One => 1.0,
            Self::Half => 0.5,
        }
    }
}

/// A function whose values are to be counted: zero at zero, and never decreasing.
#[derive(Clone, Debug)]
pub struct Image<F> {
    formula: F,
    power: Power,
    /// c.
    factor: f64,
    /// 40·log10 c, at most [`MAX_OFFSET`] either way.
    offset: f64,
    /// Where the power law holds. Bins of F there are common ones.
    regular: Range<f32>,
}

impl<F: Fn(f32) -> f32> Image<F> {
    /// The function `formula`, which is `factor`·x^`power` to within 2^-22 of itself where x lies in `regular`; `None`
    /// if its values there reach the ends of the range of floats, or the factor does.
    pub fn new(formula: F, power: Power, factor: f64, regular: Range<f32>) -> Option<Self> {
        let offset = 40.0 * factor.log10();
        let image = Self { formula, power, factor, offset, regular };
        (offset.abs() <= MAX_OFFSET && image.has_common_values()).then_some(image)
    }

    fn has_common_values(&self) -> bool {
        let Range { start, end } = self.regular;
        let is_common = |x| {
            let y = self.power.exponent() * 40.0 * f64::from(x).log10() + self.offset;
            f64::from(slot::LOWEST.end() + 2) <= y && y <= f64::from(slot::HIGHEST.start() - 2)
        };
        f32::MIN_POSITIVE <= start && start < end && end < f32::INFINITY && is_common(start) && is_common(end)
    }

    /// Whether all finite values are zero or regular, and in another bin than [`stand_in`](Self::stand_in).
    pub(crate) fn covers(&self, values: &Summary) -> bool {
        let is_above = |min| TWO_BINS * TWO_BINS * self.regular.start <= min;
        values.min_nonzero.is_none_or(is_above) && values.max.is_none_or(|max| max < self.regular.end)
    }

    /// What stands in for zero while counting: it has a bin to itself.
    pub(crate) fn stand_in(&self) -> f32 {
        self.regular.start
    }

    /// The slot of F(x).
    pub(crate) fn slot(&self, table: &SlotTable, x: f32) -> usize {
        slot_of(table, (self.formula)(x.abs().max(self.stand_in())).to_bits())
    }

    pub(crate) fn power(&self) -> Power {
        self.power
    }

    /// p, and 40·log10 c.
    pub(crate) fn exponent_and_offset(&self) -> (f64, f64) {
        (self.power.exponent(), self.offset)
    }

    /// The summary of images from the extremes of what they are images of, and the sum of its squares or, if these are
    /// roots, its sum.
    #[must_use]
    pub fn summary(&self, of_values: &Summary) -> Summary {
        Summary {
            min_nonzero: of_values.min_nonzero.map(&self.formula),
            max: of_values.max.map(&self.formula),
            sum_of_squares: of_values.sum_of_squares * self.factor * self.factor,
        }
    }
}

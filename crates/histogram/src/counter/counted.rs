//! What of a float is counted, itself or an image, and the coefficients of its logarithm in bins.
//!
//! For x = 2^e·f with f in [1, 2) the float's bits, taken as an integer, are (e + 127 + f − 1)·2^23: linear in e, and in
//! f up to what a polynomial of degree 6 corrects,
//!
//! ```text
//! y = 40·log10 x = S·(bits − 127·2^23)/2^23 + Q(f),    S = 40·log10 2,    Q(f) ≈ 40·log10 f − S·(f − 1).
//! ```
//!
//! The logarithm of c·x^p is p·y + 40·log10 c: the same sum with other coefficients.

use crate::bins::{SlotTable, slot_of};
use crate::image::Image;

/// Q, highest power first (minimax, off by 2.3e-5 at most).
const Q: [f64; 7] = [-0.309_351_53, 3.313_121_3, -15.255_216, 39.573_75, -64.323_96, 61.566_21, -24.564_533];
/// S / 2^23.
const SCALE: f64 = 12.041_199_826_559_248 / 8_388_608.0;

/// Coefficients of p·y + offset − 1/2, whose rounding to the nearest integer is the floor of p·y + offset.
#[derive(Clone, Copy)]
pub(super) struct Logarithm {
    /// Of powers of f, highest first.
    pub(super) polynomial: [f32; 7],
    /// Of the bits less those of 1.
    pub(super) scale: f32,
}

impl Logarithm {
    pub(super) const fn of_power(exponent: f64, offset: f64) -> Self {
        let mut polynomial = [0.0; 7];
        let mut index = 0;
        while index < 7 {
            let constant = if index == 6 { offset - 0.5 } else { 0.0 };
            polynomial[index] = (exponent * Q[index] + constant) as f32;
            index += 1;
        }
        Self { polynomial, scale: (exponent * SCALE) as f32 }
    }
}

/// What of a float is counted.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "slots alone are portable"))]
pub(super) trait Counted {
    fn logarithm(&self) -> Logarithm;
    /// Lesser magnitudes are taken for this one.
    fn least(&self) -> f32;
    fn slot(&self, table: &SlotTable, value: f32) -> usize;
}

/// Its magnitude.
pub(super) struct Magnitude;

impl Counted for Magnitude {
    #[inline(always)]
    fn logarithm(&self) -> Logarithm {
        const { Logarithm::of_power(1.0, 0.0) }
    }

    #[inline(always)]
    fn least(&self) -> f32 {
        0.0
    }

    #[inline(always)]
    fn slot(&self, table: &SlotTable, value: f32) -> usize {
        slot_of(table, value.to_bits())
    }
}

impl<F: Fn(f32) -> f32> Counted for Image<F> {
    fn logarithm(&self) -> Logarithm {
        let (exponent, offset) = self.exponent_and_offset();
        Logarithm::of_power(exponent, offset)
    }

    fn least(&self) -> f32 {
        self.stand_in()
    }

    fn slot(&self, table: &SlotTable, value: f32) -> usize {
        self.slot(table, value)
    }
}

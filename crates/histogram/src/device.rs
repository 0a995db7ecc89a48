//! Binning where there are only operations on whole arrays: the table for a GPU.
//!
//! Magnitudes stand in the order of their bits taken as integers, so the slot of a float with the magnitude bits m is found by
//! a search among the first magnitude bits of every slot, which frameworks call `bucketize` or `searchsorted`:
//!
//! ```text
//! slot = number of edges ≤ m
//! ```
//!
//! Every float gets its slot without a branch, −∞ that of +∞. [`histogram`] turns counts of slots into a [`Histogram`], once
//! those of −∞ have been told apart.

use crate::bins::{MAX_BIN, MIN_BIN, first_float};
use crate::histogram::Histogram;

/// Slots: zero, the bins in order, +∞, NaN, −∞.
pub const N_SLOTS: usize = NEG_INF + 1;
/// The slot of +∞, and of −∞ until it is told apart.
pub const POS_INF: usize = FIRST_BIN + N_BINS;
/// The slot of NaN.
pub const NAN: usize = POS_INF + 1;
/// The slot for −∞.
pub const NEG_INF: usize = NAN + 1;
/// Magnitude bits of infinity.
pub const INFINITY_BITS: i32 = 0x7f80_0000;

const ZERO: usize = 0;
const FIRST_BIN: usize = 1;
const N_BINS: usize = (MAX_BIN - MIN_BIN + 1) as usize;

/// The least magnitude bits of each slot but those of zero and −∞, in ascending order; bins without a float have those of the
/// next.
pub fn edges() -> Vec<i32> {
    let first_bits = (MIN_BIN..=MAX_BIN + 1).map(|bin| first_float(bin).to_bits() as i32);
    first_bits.chain([INFINITY_BITS + 1]).collect()
}

/// The histogram of counts per slot.
///
/// # Panics
/// If there are not [`N_SLOTS`] counts.
pub fn histogram(counts: &[u64]) -> Histogram {
    assert_eq!(counts.len(), N_SLOTS, "one count per slot");
    let apart = [counts[ZERO], counts[NAN], counts[POS_INF], counts[NEG_INF]];
    Histogram::from_counts(MIN_BIN, &counts[FIRST_BIN..POS_INF], apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;
    use crate::bins::{MAGNITUDE_MASK, bin_of};

    /// The formula at the top, one float at a time.
    fn slot(edges: &[i32], value: f32) -> usize {
        let magnitude = (value.to_bits() & MAGNITUDE_MASK) as i32;
        edges.partition_point(|&edge| edge <= magnitude)
    }

    fn slot_by_bin(value: f32) -> usize {
        match bin_of(value) {
            Some(bin) => FIRST_BIN + (bin - MIN_BIN) as usize,
            None if value.is_nan() => NAN,
            None => [ZERO, POS_INF][usize::from(value != 0.0)],
        }
    }

    /// Slots never decrease with magnitude bits, so two floats of one slot have none of another between them: the floats around
    /// every edge stand for all.
    #[test]
    fn every_float_gets_the_slot_of_its_bin() {
        let edges = edges();
        assert!(edges.is_sorted() && edges.len() == N_SLOTS - 2);
        for &edge in &edges {
            for bits in [edge - 1, edge, edge + 1].map(|bits| bits as u32) {
                for value in [bits, bits | !MAGNITUDE_MASK].map(f32::from_bits) {
                    assert_eq!(slot(&edges, value), slot_by_bin(value), "bits {bits:#010x}");
                }
            }
        }
        for value in [0.0, -0.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7fff_ffff)] {
            assert_eq!(slot(&edges, value), slot_by_bin(value), "{value}");
        }
    }

    #[test]
    fn counts_of_slots_are_the_counter_s_histogram() {
        let edges = edges();
        let values: Vec<f32> = (0..200_000_u32)
            .map(|index| f32::from_bits(index.wrapping_mul(0x9e37_79b9)))
            .chain([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, f32::MAX])
            .collect();
        let mut counts = vec![0; N_SLOTS];
        for &value in &values {
            counts[if value == f32::NEG_INFINITY { NEG_INF } else { slot(&edges, value) }] += 1;
        }
        let mut counter = Counter::new();
        counter.count(&values);
        assert_eq!(histogram(&counts), counter.take());
    }
}

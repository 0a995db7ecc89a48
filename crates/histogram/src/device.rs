//! Binning where there is only integer arithmetic on whole arrays: the tables for a GPU.
//!
//! The table of [`crate::bins`] leaves subnormals to a search. Here they take a table of their own: the integer that a
//! subnormal's bits are, turned into a float, is exact and is the value times 2^149, so it is a normal float
//! whose cells again cross one edge at most. With m the magnitude bits of a float,
//!
//! ```text
//! y    = m,                      cell = y >> 18             for m >= 2^23
//! y    = bits of (m as float),   cell = (y >> 18) + 2^13    for m < 2^23, zero included
//! slot = (table[cell] + (y & (2^18 − 1))) >> 18
//! ```
//!
//! Every float gets its slot without a branch, −∞ that of +∞. [`histogram`] turns counts of slots into a [`Histogram`], once
//! those of −∞ have been told apart.

use crate::bins::{self, CELL_WIDTH, LOW_BITS, MAX_BIN, MIN_BIN, N_CELLS};
use crate::histogram::Histogram;

/// Slots: zero, the bins in order, +∞, NaN, −∞.
pub const N_SLOTS: usize = NEG_INF + 1;
/// The slot of NaN.
pub const NAN: usize = POS_INF + 1;
/// Magnitude bits below this are those of subnormals and zero.
pub const MIN_NORMAL_BITS: i32 = 0x0080_0000;
/// Magnitude bits, or those of a subnormal as a float, are shifted right by this to give the cell.
pub const CELL_SHIFT: u32 = LOW_BITS;
/// What is added to the cell of a subnormal.
pub const SUBNORMAL_CELLS: i32 = N_CELLS as i32;
/// The slot of +∞, and of −∞ until it is told apart.
pub const POS_INF: usize = FIRST_BIN + N_BINS;
/// The slot for −∞.
pub const NEG_INF: usize = NAN + 1;
/// All bits of −∞, as a signed integer.
pub const NEG_INF_BITS: i32 = 0xff80_0000_u32 as i32;
/// What tells −∞ apart when added to its slot.
pub const NEG_INF_OFFSET: i32 = (NEG_INF - POS_INF) as i32;

const ZERO: usize = 0;
const FIRST_BIN: usize = 1;
const N_BINS: usize = (MAX_BIN - MIN_BIN + 1) as usize;
const INFINITY_CELL: usize = 0x7f80_0000 >> LOW_BITS;

/// The table, one entry per cell: those of normal floats, then those of subnormals.
pub fn table() -> Vec<i32> {
    let entry = |(slot, crossing): (usize, u32)| ((slot as u32) << LOW_BITS) as i32 + (CELL_WIDTH - crossing) as i32;
    let normal = (0..N_CELLS).map(|cell| entry(normal_cell(cell)));
    normal.chain((0..N_CELLS).map(|cell| entry(subnormal_cell(cell)))).collect()
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

/// The slot in which a cell begins and the low bits from which on the next one holds.
fn normal_cell(cell: usize) -> (usize, u32) {
    let first = (cell as u32) << LOW_BITS;
    match cell {
        _ if first < MIN_NORMAL_BITS as u32 => (ZERO, CELL_WIDTH),
        INFINITY_CELL => (POS_INF, 1),
        _ if INFINITY_CELL < cell => (NAN, CELL_WIDTH),
        _ => {
            let (slot, next) = slot_and_next(first);
            (slot, next.saturating_sub(first).min(CELL_WIDTH))
        }
    }
}

/// The same for floats that are the bits of subnormals: 0, 1, 2, … 2^23 − 1.
fn subnormal_cell(cell: usize) -> (usize, u32) {
    let first = (cell as u32) << LOW_BITS;
    // The least whole number in this cell or above it, if it is one that a subnormal's bits can be.
    let least = f32::from_bits(first).ceil();
    if cell == 0 || !(1.0..MIN_NORMAL_BITS as f32).contains(&least) {
        return (ZERO, CELL_WIDTH);
    }
    let (slot, next) = slot_and_next(least as u32);
    (slot, (next as f32).to_bits().saturating_sub(first).min(CELL_WIDTH))
}

/// The slot of a magnitude by search, and the least magnitude bits of the next slot.
fn slot_and_next(magnitude_bits: u32) -> (usize, u32) {
    let bin = bins::bin_of(f32::from_bits(magnitude_bits)).expect("the bits of a finite magnitude above zero");
    (FIRST_BIN + (bin - MIN_BIN) as usize, bins::first_float(bin + 1).to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    /// The formula at the top, one float at a time.
    fn slot(table: &[i32], value: f32) -> usize {
        let raw = value.to_bits() as i32;
        let magnitude = raw & 0x7fff_ffff;
        let is_subnormal = magnitude < MIN_NORMAL_BITS;
        let y = if is_subnormal { (magnitude as f32).to_bits() as i32 } else { magnitude };
        let cell = (y >> CELL_SHIFT) + if is_subnormal { SUBNORMAL_CELLS } else { 0 };
        ((table[cell as usize] + (y & (CELL_WIDTH as i32 - 1))) >> CELL_SHIFT) as usize
    }

    #[test]
    fn every_float_gets_the_slot_of_its_bin() {
        let table = table();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        std::thread::scope(|scope| {
            for thread in 0..n_threads {
                let table = &table;
                scope.spawn(move || check_every(table, (thread..0x8000_0000).step_by(n_threads as usize)));
            }
        });
        assert_eq!(slot(&table, f32::NEG_INFINITY), POS_INF);
        assert_eq!(slot(&table, -0.0), ZERO);
    }

    fn check_every(table: &[i32], bits: impl Iterator<Item = u32>) {
        // Neighbours share a bin: look it up anew only where it ends.
        let mut current = (0..0, 0);
        for bits in bits {
            let expected = match bits {
                0 => ZERO,
                0x7f80_0000 => POS_INF,
                0x7f80_0001.. => NAN,
                _ => {
                    if !current.0.contains(&bits) {
                        let (slot, next) = slot_and_next(bits);
                        current = (bits..next, slot);
                    }
                    current.1
                }
            };
            assert_eq!(slot(table, f32::from_bits(bits)), expected, "bits {bits:#010x}");
        }
    }

    #[test]
    fn counts_of_slots_are_the_counter_s_histogram() {
        let table = table();
        let values: Vec<f32> = (0..200_000_u32)
            .map(|index| f32::from_bits(index.wrapping_mul(0x9e37_79b9)))
            .chain([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, f32::MAX])
            .collect();
        let mut counts = vec![0; N_SLOTS];
        for &value in &values {
            let apart = if value.to_bits() as i32 == NEG_INF_BITS { NEG_INF_OFFSET as usize } else { 0 };
            counts[slot(&table, value) + apart] += 1;
        }
        let mut counter = Counter::new();
        counter.count(&values);
        assert_eq!(histogram(&counts), counter.take());
    }
}

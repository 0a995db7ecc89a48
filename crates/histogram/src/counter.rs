//! The counting kernel: floats in, counts per bin out.
//!
//! Counting is bound by stores: each element increments one counter, and an increment waits for the one
//! before it when both hit the same counter. Eight interleaved tables, element `i` going to table `i mod 8`,
//! break that chain (five times faster on skewed data); they are padded apart so that equal slots of
//! different tables never share a cache set. Slots come from the integer table of [`crate::bins`], eight at a
//! time by an AVX2 gather where the processor has it, and memory is fetched 4 KiB ahead.
//!
//! Blocks that met a subnormal or an infinity, which are rare, are looked at a second time: subnormals are
//! placed by search among the edges, infinities by their sign. So the fast loop has no branch on the data.

use crate::bins::{self, SlotTable, slot, slot_of};
use crate::histogram::Histogram;

/// Elements looked at between two checks for rare values: 16 KiB, a third of a first-level cache.
const BLOCK: usize = 4096;
const LANES: usize = 8;
/// Slots rounded up to a power of two, so that a mask replaces the bounds check.
const SLOT_MASK: usize = slot::COUNT.next_power_of_two() - 1;
/// The padding keeps equal slots of two lanes 1088 bytes apart modulo 4 KiB.
const LANE_STRIDE: usize = SLOT_MASK + 1 + 272;

type Lanes = [[u32; LANE_STRIDE]; LANES];

/// Counts floats into bins; [`take`](Self::take) hands over the finished histogram.
///
/// A counter is worth keeping: it holds 160 KiB of tables that are cleared, not allocated, between uses.
///
/// # Examples
/// ```
/// let mut counter = epsiloscope_histogram::Counter::new();
/// counter.count(&[0.5, 0.25]);
/// counter.count(&[-0.5]);
/// assert_eq!(counter.take().total(), 3);
/// assert_eq!(counter.take().total(), 0);
/// ```
pub struct Counter {
    table: &'static SlotTable,
    lanes: Box<Lanes>,
    /// Elements counted in `lanes` since they were last drained; below `u32::MAX`, so no lane overflows.
    pending: u32,
    totals: Box<[u64; slot::COUNT]>,
    /// Counts of bins `MIN_BIN..` that hold subnormals; empty until the first one is met.
    subnormals: Vec<u64>,
    neg_inf: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    /// An empty counter.
    pub fn new() -> Self {
        let lanes = vec![[0; LANE_STRIDE]; LANES].into_boxed_slice();
        Self {
            table: bins::slot_table(),
            lanes: lanes.try_into().expect("one table per lane"),
            pending: 0,
            totals: Box::new([0; slot::COUNT]),
            subnormals: Vec::new(),
            neg_inf: 0,
        }
    }

    /// Counts the magnitude of every value.
    pub fn count(&mut self, values: &[f32]) {
        for block in values.chunks(BLOCK) {
            if self.pending > u32::MAX - BLOCK as u32 {
                self.drain();
            }
            self.pending += block.len() as u32;
            count_block(self.table, &mut self.lanes, block);
            self.settle_rare_values(block);
        }
    }

    /// The histogram of everything counted since the last call; the counter starts anew.
    pub fn take(&mut self) -> Histogram {
        self.drain();
        let totals = &self.totals;
        let histogram = Histogram::from_counts(
            slot::bin(slot::FIRST_BIN),
            &totals[slot::FIRST_BIN..slot::INFINITY],
            [totals[slot::ZERO], totals[slot::NAN], totals[slot::INFINITY] - self.neg_inf, self.neg_inf],
        );
        let subnormals = Histogram::from_counts(bins::MIN_BIN, &self.subnormals, [0; 4]);
        self.totals.fill(0);
        self.subnormals.clear();
        self.neg_inf = 0;
        histogram.merged(&subnormals)
    }

    fn drain(&mut self) {
        if self.pending == 0 {
            return;
        }
        for lane in &mut self.lanes[..] {
            for (total, count) in self.totals.iter_mut().zip(&mut lane[..]) {
                *total += u64::from(std::mem::take(count));
            }
        }
        self.pending = 0;
    }

    /// Gives subnormals their bins and infinities their sign, if the block just counted had any.
    fn settle_rare_values(&mut self, block: &[f32]) {
        let seen = |slot: usize, lanes: &Lanes| lanes.iter().any(|lane| lane[slot] != 0);
        if seen(slot::SUBNORMAL, &self.lanes) {
            for lane in &mut self.lanes[..] {
                lane[slot::SUBNORMAL] = 0;
            }
            for value in block.iter().filter(|value| value.is_subnormal()) {
                let index = (bins::bin_among_edges(value.abs().to_bits()) - bins::MIN_BIN) as usize;
                self.subnormals.resize(self.subnormals.len().max(index + 1), 0);
                self.subnormals[index] += 1;
            }
        }
        if seen(slot::INFINITY, &self.lanes) {
            for lane in &mut self.lanes[..] {
                self.totals[slot::INFINITY] += u64::from(std::mem::take(&mut lane[slot::INFINITY]));
            }
            self.neg_inf += block.iter().filter(|&&value| value == f32::NEG_INFINITY).count() as u64;
        }
    }
}

fn count_block(table: &SlotTable, lanes: &mut Lanes, block: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calling a function compiled for AVX2")]
        // SAFETY: the processor has AVX2, as just checked.
        unsafe {
            avx2::count_block(table, lanes, block);
        }
        return;
    }
    count_block_portable(table, lanes, block);
}

/// The same counts without SIMD, and the reference for it.
fn count_block_portable(table: &SlotTable, lanes: &mut Lanes, block: &[f32]) {
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            lane[slot_of(table, value.to_bits()) & SLOT_MASK] += 1;
        }
    }
    for value in rest {
        lanes[0][slot_of(table, value.to_bits()) & SLOT_MASK] += 1;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_add_epi32, _mm256_and_si256, _mm256_i32gather_epi32, _mm256_loadu_si256,
        _mm256_set1_epi32, _mm256_srli_epi32, _mm256_storeu_si256,
    };

    use super::{LANES, Lanes, SLOT_MASK, count_block_portable};
    use crate::bins::{LOW_BITS, MAGNITUDE_MASK, SlotTable};

    /// Slots found before they are counted: the two loops overlap, and 1 KiB stays in the first-level cache.
    const BATCH: usize = 256;
    /// Further ahead than the processor's own prefetcher looks; 1.75 times faster from memory.
    const PREFETCH_BYTES: usize = 4096;

    #[target_feature(enable = "avx2")]
    pub(super) fn count_block(table: &SlotTable, lanes: &mut Lanes, block: &[f32]) {
        let mut slots = [0u32; BATCH];
        let (batches, rest) = block.as_chunks::<BATCH>();
        for batch in batches {
            find_slots(table, batch, &mut slots);
            for chunk in slots.as_chunks::<LANES>().0 {
                for (lane, &slot) in lanes.iter_mut().zip(chunk) {
                    lane[slot as usize & SLOT_MASK] += 1;
                }
            }
        }
        count_block_portable(table, lanes, rest);
    }

    #[expect(unsafe_code, reason = "AVX2 loads, stores and gathers take pointers")]
    #[target_feature(enable = "avx2")]
    fn find_slots(table: &SlotTable, values: &[f32; BATCH], slots: &mut [u32; BATCH]) {
        let magnitude_mask = _mm256_set1_epi32(MAGNITUDE_MASK as i32);
        let low_mask = _mm256_set1_epi32((1 << LOW_BITS) - 1);
        for start in (0..BATCH).step_by(8) {
            let source = values[start..start + 8].as_ptr();
            let target = slots[start..start + 8].as_mut_ptr();
            // SAFETY: source and target are eight elements long; a magnitude shifted right by 18 is below
            // 8192, the table's length; a prefetch of any address is harmless.
            unsafe {
                if start % 16 == 0 {
                    _mm_prefetch::<_MM_HINT_T0>(source.cast::<i8>().wrapping_add(PREFETCH_BYTES));
                }
                let magnitudes = _mm256_and_si256(_mm256_loadu_si256(source.cast()), magnitude_mask);
                let cells = _mm256_srli_epi32::<{ LOW_BITS as i32 }>(magnitudes);
                let entries = _mm256_i32gather_epi32::<4>(table.as_ptr().cast(), cells);
                let sums = _mm256_add_epi32(entries, _mm256_and_si256(magnitudes, low_mask));
                _mm256_storeu_si256(target.cast(), _mm256_srli_epi32::<{ LOW_BITS as i32 }>(sums));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prop_portable_and_vector_kernels_agree() {
        let mut state = 1u32;
        let values: Vec<f32> = (0..10_007)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(state ^ (state >> 16))
            })
            .collect();
        let table = bins::slot_table();
        let zero = || vec![[0u32; LANE_STRIDE]; LANES].into_boxed_slice();
        let (mut portable, mut chosen): (Box<Lanes>, Box<Lanes>) =
            (zero().try_into().unwrap(), zero().try_into().unwrap());
        count_block_portable(table, &mut portable, &values);
        count_block(table, &mut chosen, &values);
        let sum = |lanes: &Lanes, slot: usize| lanes.iter().map(|lane| lane[slot]).sum::<u32>();
        for slot in 0..slot::COUNT {
            assert_eq!(sum(&portable, slot), sum(&chosen, slot), "slot {slot}");
        }
    }
}

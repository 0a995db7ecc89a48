//! The counting kernel: floats in, counts per bin out.
//!
//! An increment waits for the one before it when both hit the same counter. Eight interleaved tables, element `i`
//! going to table `i mod 8`, break that chain (five times faster on skewed data); they are padded apart so that equal
//! slots of different tables never share a cache set.
//!
//! Slots come from the integer table of [`crate::bins`], or, where the processor has AVX2 and FMA, from a logarithm by
//! polynomial that is exact wherever it says so (see `approximate`): a table look-up per element costs as much as
//! counting it.
//!
//! Rare values, those at the ends of the range of floats and the subnormals, infinities and NaN beyond, are counted
//! roughly at first and placed exactly at the end of each block that had any. So the fast loop has no branch on them.

#[cfg(target_arch = "x86_64")]
mod approximate;
mod counted;

use std::ops::{Range, RangeInclusive};

use crate::bins::{self, SlotTable, slot};
use crate::histogram::Histogram;
use crate::image::{Image, Power};
use crate::summary::Summarizer;
use counted::{Counted, Magnitude};

/// Elements between two looks for rare values: 256 KiB, so that a second look finds them in the second-level cache.
const BLOCK: usize = 65_536;
const LANES: usize = 8;
/// The padding keeps equal slots of two lanes 1088 bytes apart modulo 4 KiB.
const LANE_STRIDE: usize = slot::COUNT + 240;
/// Blocks of fewer elements are counted in one lane.
const FEW: usize = 768;
/// Slots that are drained together.
const GROUP: usize = 64;
/// Slots of common values; the last group may reach beyond, where there is nothing.
const COMMON: RangeInclusive<usize> = slot::of_bin(*slot::LOWEST.end() + 1)..=slot::of_bin(*slot::HIGHEST.start() - 1);
/// One per bin, and room for the last group.
const N_TOTALS: usize = (bins::MAX_BIN - bins::MIN_BIN + 1) as usize + GROUP;

/// First and last slot of the two groups that hold rare values; the least subnormals have that of zero.
const RARE_SLOTS: [(usize, usize); 2] = [
    (slot::SUBNORMAL, slot::of_bin(*slot::LOWEST.end())),
    (slot::of_bin(*slot::HIGHEST.start()), slot::of_bin(*slot::HIGHEST.end())),
];

type Lanes = [[u32; LANE_STRIDE]; LANES];

/// Counts floats into bins; [`take`](Self::take) hands over the finished histogram.
///
/// A counter is worth keeping: it holds 130 KiB of tables that are cleared, not allocated, between uses.
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
    /// Lanes that may hold counts, the first so many.
    used_lanes: usize,
    /// Elements counted in `lanes` since they were last drained; below `u32::MAX`, so nothing overflows.
    pending: u32,
    /// Counts of bins from `MIN_BIN` on.
    totals: Vec<u64>,
    /// The totals that may not be zero.
    touched: Range<usize>,
    zeros: u64,
    nan: u64,
    pos_inf: u64,
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
        Self {
            table: bins::slot_table(),
            lanes: new_lanes(),
            used_lanes: 0,
            pending: 0,
            totals: vec![0; N_TOTALS],
            touched: 0..0,
            zeros: 0,
            nan: 0,
            pos_inf: 0,
            neg_inf: 0,
        }
    }

    /// Counts the magnitude of every value.
    pub fn count(&mut self, values: &[f32]) {
        for block in values.chunks(BLOCK) {
            self.count_block(&Magnitude, block);
            self.settle_rare_values(block);
        }
    }

    /// Counts the image of every value, unless one is neither zero nor regular, or there are so few that computing their
    /// images costs less: then nothing is done, and the answer is false.
    ///
    /// What the summarizer makes of the values, [`Image::summary`] makes a summary of their images.
    #[must_use]
    pub fn observe_images<F: Fn(f32) -> f32>(
        &mut self,
        values: &[f32],
        image: &Image<F>,
        summarizer: &mut Summarizer,
    ) -> bool {
        if values.len() < FEW {
            return false;
        }
        let of_values = match image.power() {
            Power::One => Summarizer::of_finite(values, |x| x * x),
            Power::Half => Summarizer::of_finite(values, |x| x),
        };
        let Some(of_values) = of_values.filter(|of_values| image.covers(&of_values.finish())) else {
            return false;
        };
        summarizer.merge(&of_values);
        for block in values.chunks(BLOCK) {
            self.count_block(image, block);
            self.zeros += self.take_slot(image.slot(self.table, 0.0));
        }
        true
    }

    fn count_block(&mut self, counted: &impl Counted, block: &[f32]) {
        if self.pending > u32::MAX - BLOCK as u32 {
            self.drain();
        }
        self.pending += block.len() as u32;
        let n_lanes = if block.len() < FEW { 1 } else { LANES };
        self.used_lanes = self.used_lanes.max(n_lanes);
        let (chunks, rest) = block.as_chunks();
        count_chunks(counted, self.table, &mut self.lanes[..n_lanes], chunks);
        for value in rest {
            self.lanes[0][counted.slot(self.table, *value)] += 1;
        }
    }

    /// The histogram of everything counted since the last call; the counter starts anew.
    pub fn take(&mut self) -> Histogram {
        self.drain();
        let apart = [&mut self.zeros, &mut self.nan, &mut self.pos_inf, &mut self.neg_inf].map(std::mem::take);
        let touched = std::mem::take(&mut self.touched);
        let counts = &mut self.totals[touched.clone()];
        let histogram = Histogram::from_counts(bins::MIN_BIN + touched.start as i32, counts, apart);
        counts.fill(0);
        histogram
    }

    /// Adds the lanes to the totals.
    fn drain(&mut self) {
        let lanes = &mut self.lanes[..self.used_lanes];
        for first in COMMON.step_by(GROUP) {
            if is_empty(lanes, first) {
                continue;
            }
            let start = total_of_bin(first as i32 - slot::BIAS);
            self.touched = hull(&self.touched, start..start + GROUP);
            let totals = &mut self.totals[start..start + GROUP];
            for lane in &mut *lanes {
                for (total, count) in totals.iter_mut().zip(&mut lane[first..first + GROUP]) {
                    *total += u64::from(std::mem::take(count));
                }
            }
        }
        for lane in lanes {
            lane[slot::UNUSED] = 0;
        }
        (self.pending, self.used_lanes) = (0, 0);
    }

    /// Replaces the rough counts of rare values, if the block just counted had any, by exact ones.
    fn settle_rare_values(&mut self, block: &[f32]) {
        // Gradients have many zeros and few rare values, so the slot that the least subnormals share is emptied by itself.
        let least = self.take_slot(slot::ZERO);
        let zeros = if least == 0 { 0 } else { count_zeros(block) };
        self.zeros += zeros;
        if zeros < least + self.take_rough() {
            for &value in block.iter().filter(|&&value| is_rare(value)) {
                self.count_exactly(value);
            }
        }
    }

    /// Empties the slots of rare values, of which most blocks have none.
    fn take_rough(&mut self) -> u64 {
        let lanes = &mut self.lanes[..self.used_lanes];
        let none =
            |lane: &[u32; LANE_STRIDE], (first, last)| lane[first..=last].iter().fold(0, |any, it| any | it) == 0;
        if lanes.iter().all(|lane| none(lane, RARE_SLOTS[0]) & none(lane, RARE_SLOTS[1])) {
            return 0;
        }
        let slots =
            lanes.iter_mut().flat_map(|lane| lane.get_disjoint_mut(RARE_SLOTS.map(|(first, last)| first..=last)));
        slots.flatten().flatten().map(|count| u64::from(std::mem::take(count))).sum()
    }

    /// Empties a slot.
    fn take_slot(&mut self, slot: usize) -> u64 {
        self.lanes[..self.used_lanes].iter_mut().map(|lane| u64::from(std::mem::take(&mut lane[slot]))).sum()
    }

    fn count_exactly(&mut self, value: f32) {
        match bins::bin_of(value) {
            Some(bin) => {
                let total = total_of_bin(bin);
                self.totals[total] += 1;
                self.touched = hull(&self.touched, total..total + 1);
            }
            None if value.is_nan() => self.nan += 1,
            None if value > 0.0 => self.pos_inf += 1,
            None => self.neg_inf += 1,
        }
    }
}

/// Where the total of a bin stands.
fn total_of_bin(bin: i32) -> usize {
    (bin - bins::MIN_BIN) as usize
}

/// The least range that holds two.
fn hull(a: &Range<usize>, b: Range<usize>) -> Range<usize> {
    if a.is_empty() { b } else { a.start.min(b.start)..a.end.max(b.end) }
}

/// Whether no lane has a count in the group of slots from `first` on.
fn is_empty(lanes: &[[u32; LANE_STRIDE]], first: usize) -> bool {
    lanes.iter().all(|lane| lane[first..first + GROUP].iter().fold(0, |any, count| any | count) == 0)
}

fn new_lanes() -> Box<Lanes> {
    let zeros = vec![0; LANES * LANE_STRIDE];
    let lanes: Vec<[u32; LANE_STRIDE]> = zeros.as_chunks().0.to_vec();
    lanes.into_boxed_slice().try_into().expect("one table per lane")
}

fn count_zeros(block: &[f32]) -> u64 {
    // A check for overflow, as development builds make, would cost eight times as much.
    u64::from(block.iter().fold(0_u32, |zeros, &value| zeros.wrapping_add(u32::from(value == 0.0))))
}

/// Whether a value other than zero belongs to the bins [`slot::LOWEST`] or [`slot::HIGHEST`], or to none.
fn is_rare(value: f32) -> bool {
    let magnitude = value.abs();
    let common = bins::first_float(slot::LOWEST.end() + 1)..bins::first_float(*slot::HIGHEST.start());
    magnitude != 0.0 && !common.contains(&magnitude)
}

#[inline]
fn count_chunks(counted: &impl Counted, table: &SlotTable, lanes: &mut [[u32; LANE_STRIDE]], chunks: &[[f32; LANES]]) {
    #[cfg(target_arch = "x86_64")]
    if let Ok(lanes) = lanes.try_into()
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
    {
        #[expect(unsafe_code, reason = "calling a function compiled for AVX2 and FMA")]
        // SAFETY: the processor has both, as just checked.
        unsafe {
            approximate::count_chunks(counted, table, lanes, chunks);
        }
        return;
    }
    count_by_table(counted, table, lanes, chunks);
}

/// The simple version, for any processor, and for so few values that draining eight lanes would cost more than waiting
/// for one.
fn count_by_table(
    counted: &impl Counted,
    table: &SlotTable,
    lanes: &mut [[u32; LANE_STRIDE]],
    chunks: &[[f32; LANES]],
) {
    for chunk in chunks {
        for (index, &value) in chunk.iter().enumerate() {
            lanes[index % lanes.len()][counted.slot(table, value)] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::slot_of;

    /// Every magnitude that is not rare, by both ways; 2.1 billion of them take some seconds.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_polynomial_puts_every_float_where_the_integer_table_puts_it() {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return;
        }
        let first = bins::first_float(slot::LOWEST.end() + 1).to_bits();
        let end = bins::first_float(*slot::HIGHEST.start()).to_bits();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        std::thread::scope(|scope| {
            for thread in 0..n_threads {
                scope.spawn(move || {
                    for start in (first + 8 * thread..end - 8).step_by(8 * n_threads as usize) {
                        #[expect(unsafe_code, reason = "calling a function compiled for AVX2 and FMA")]
                        // SAFETY: the processor has both, as just checked.
                        unsafe {
                            compare_eight(start);
                        }
                    }
                });
            }
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn compare_eight(start: u32) {
        let table = bins::slot_table();
        let values: [f32; LANES] = std::array::from_fn(|lane| f32::from_bits(start + lane as u32));
        let mut bins = [0; LANES];
        approximate::find_bins(&Magnitude, &Magnitude.logarithm(), table, &values, &mut bins);
        for (bin, value) in bins.into_iter().zip(values) {
            assert_eq!(approximate::slot_of_bin(bin), slot_of(table, value.to_bits()), "{value:e}");
        }
    }

    /// Counting every float once must give each bin as many as lie between its edges: 2^31 floats, rare ones included.
    #[test]
    fn every_float_is_counted_once_in_its_bin() {
        let mut counter = Counter::new();
        for start in (0..1 << 31).step_by(1 << 20) {
            let block: Vec<f32> = (start..start + (1 << 20)).map(f32::from_bits).collect();
            counter.count(&block);
        }
        let histogram = counter.take();
        let first_bits = |bin| bins::first_float(bin).to_bits();
        let expected =
            (bins::MIN_BIN..=bins::MAX_BIN).map(|bin| (bin, u64::from(first_bits(bin + 1) - first_bits(bin))));
        assert!(histogram.bins().eq(expected.filter(|&(_, count)| count > 0)));
        assert_eq!((histogram.zeros(), histogram.pos_inf(), histogram.nan()), (1, 1, (1 << 23) - 1));
        assert_eq!(histogram.numel(), 1 << 31);
    }

    #[test]
    fn the_table_alone_counts_the_same() {
        let mut state = 1u32;
        let values: Vec<f32> = (0..100_008)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(state ^ (state >> 16))
            })
            .collect();
        let (mut chosen, mut by_table) = (Counter::new(), Counter::new());
        chosen.count(&values);
        for block in values.chunks(BLOCK) {
            (by_table.used_lanes, by_table.pending) = (LANES, by_table.pending + block.len() as u32);
            count_by_table(&Magnitude, by_table.table, &mut by_table.lanes[..], block.as_chunks().0);
            by_table.settle_rare_values(block);
        }
        assert_eq!(chosen.take(), by_table.take());
    }
}

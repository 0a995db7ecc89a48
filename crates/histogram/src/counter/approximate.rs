//! Bins of eight floats at a time from a polynomial logarithm, exact because it knows where it might not be.
//!
//! Errors of y − 1/2, in bins: 5e-5 from the polynomial (its fit, and its evaluation), 5e-5 from turning the bits into
//! a float, 6e-5 from the last rounding. Of an image c·x^p they are no larger, p being at most 1; to them come 3e-5 each
//! from rounding an offset of at most 700 and adding it, and 5e-6 from the roundings (2^-22) that its formula makes where
//! the power law makes none. Together below 2.3e-4 bins. Where y − 1/2 is further than 3e-4 from a tie its rounding
//! is therefore the bin; the other lanes, six in ten thousand, are looked up in the integer table, images by their
//! formula. Tests run through every float there is.

use std::arch::x86_64::{
    _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_and_si256, _mm256_andnot_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_si256, _mm256_max_epi32,
    _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi32, _mm256_set1_ps, _mm256_storeu_si256, _mm256_sub_epi32,
    _mm256_sub_ps,
};

use super::counted::{Counted, Logarithm};
use super::{LANES, Lanes};
use crate::bins::{MAGNITUDE_MASK, SlotTable, slot};

/// Adding 1.5·2^23 rounds to the nearest integer, which then stands in the low bits of the mantissa.
const ROUNDER: f32 = 12_582_912.0;
/// 1/2 − 3e-4.
const CERTAIN: f32 = 0.4997;
/// Bits of 1.0.
const ONE: i32 = 0x3f80_0000;
const MANTISSA: i32 = 0x007f_ffff;
/// Further ahead than the processor's own prefetcher looks, in elements: 4 KiB.
const PREFETCH: usize = 1024;
/// Chunks between finding bins and counting them. Bins pass through memory, where counting reads them one by one;
/// by then the next chunks' arithmetic is under way.
const DELAY: usize = 8;

/// The bins of eight floats, in the low 16 bits; what stands above is of no meaning.
pub(super) type Bins = [u32; LANES];

/// Counts values that images must cover.
#[target_feature(enable = "avx2,fma")]
pub(super) fn count_chunks(counted: &impl Counted, table: &SlotTable, lanes: &mut Lanes, chunks: &[[f32; LANES]]) {
    let logarithm = counted.logarithm();
    let mut waiting = [[(slot::UNUSED as i32 - slot::BIAS) as u32; LANES]; DELAY];
    for (index, chunk) in chunks.iter().enumerate() {
        let bins = &mut waiting[index % DELAY];
        count_bins(lanes, bins);
        find_bins(counted, &logarithm, table, chunk, bins);
    }
    for bins in &waiting {
        count_bins(lanes, bins);
    }
}

#[expect(unsafe_code, reason = "a bounds check per element costs a tenth of the speed")]
#[inline(always)]
fn count_bins(lanes: &mut Lanes, bins: &Bins) {
    for (lane, &bin) in lanes.iter_mut().zip(bins) {
        let slot = slot_of_bin(bin);
        debug_assert!(slot < slot::COUNT);
        // SAFETY: a bin is that of `UNUSED`, or comes from `find_bins`. There it stands for the slot of some
        // float in the integer table, or it is the rounding of y − 1/2. Of magnitudes y lies between −1529.3 (all
        // exponent bits zero) and 1553.4 (all set); images that cover their values have common bins. So the slot lies
        // in 0..COUNT, before the lane's padding.
        let count = unsafe { lane.get_unchecked_mut(slot) };
        // `Counter::pending` keeps counts from overflowing: development builds need not look.
        *count = count.wrapping_add(1);
    }
}

#[inline(always)]
pub(super) fn slot_of_bin(bin: u32) -> usize {
    (bin as i16 as isize + slot::BIAS as isize) as usize
}

#[expect(unsafe_code, reason = "AVX2 loads, stores and prefetches take pointers")]
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) fn find_bins(
    counted: &impl Counted,
    &Logarithm { polynomial, scale }: &Logarithm,
    table: &SlotTable,
    values: &[f32; LANES],
    bins: &mut Bins,
) {
    // SAFETY: eight floats are loaded from eight; a prefetch of any address is harmless.
    let floats = unsafe {
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(PREFETCH).cast());
        _mm256_loadu_si256(values.as_ptr().cast())
    };
    let magnitude = _mm256_and_si256(floats, _mm256_set1_epi32(MAGNITUDE_MASK as i32));
    let magnitude = _mm256_max_epi32(magnitude, _mm256_set1_epi32(counted.least().to_bits() as i32));
    let linear = _mm256_cvtepi32_ps(_mm256_sub_epi32(magnitude, _mm256_set1_epi32(ONE)));
    let mantissa = _mm256_and_si256(magnitude, _mm256_set1_epi32(MANTISSA));
    let f = _mm256_castsi256_ps(_mm256_or_si256(mantissa, _mm256_set1_epi32(ONE)));
    let mut q = _mm256_set1_ps(polynomial[0]);
    for coefficient in &polynomial[1..] {
        q = _mm256_fmadd_ps(q, f, _mm256_set1_ps(*coefficient));
    }
    let y = _mm256_fmadd_ps(linear, _mm256_set1_ps(scale), q);
    let rounded = _mm256_add_ps(y, _mm256_set1_ps(ROUNDER));
    // SAFETY: eight bins are stored into eight.
    unsafe { _mm256_storeu_si256(bins.as_mut_ptr().cast(), _mm256_castps_si256(rounded)) };
    let distance = _mm256_sub_ps(y, _mm256_sub_ps(rounded, _mm256_set1_ps(ROUNDER)));
    let distance = _mm256_andnot_ps(_mm256_set1_ps(-0.0), distance);
    let uncertain = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(distance, _mm256_set1_ps(CERTAIN)));
    if uncertain != 0 {
        look_up(counted, table, values, bins);
    }
}

#[cold]
#[inline(never)]
fn look_up(counted: &impl Counted, table: &SlotTable, values: &[f32; LANES], bins: &mut Bins) {
    for (bin, &value) in bins.iter_mut().zip(values) {
        *bin = (counted.slot(table, value) as i32 - slot::BIAS) as u32;
    }
}

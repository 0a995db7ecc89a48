//! What the benchmarks of kernels share: times, and a plain sum as the limit of what reading costs.

use std::time::Instant;

/// Floats between a load and the prefetch it makes: 4 KiB, further than the processor's own prefetcher looks.
const PREFETCH: usize = 1024;

pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The sum of the values: AVX2, sixteen accumulators, prefetched.
pub(crate) fn sum(values: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calling a function compiled for AVX2")]
        // SAFETY: the processor has AVX2, as just checked.
        return unsafe { sum_avx2(values) };
    }
    values.iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(values: &[f32]) -> f32 {
    let mut lanes = [0f32; 128];
    let (chunks, rest) = values.as_chunks::<128>();
    for chunk in chunks {
        for line in chunk.as_chunks::<16>().0 {
            prefetch(line);
        }
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).sum()
}

/// Asks for what lies some way beyond a cache line.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a prefetch takes a pointer")]
#[inline(always)]
fn prefetch(line: &[f32; 16]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address is harmless.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(PREFETCH).cast()) }
}

//! Counting on a device, many tensors at once: the layout of operations on whole arrays, and what comes of their results.
//!
//! A network has hundreds of tensors, most of them small, and on a GPU every operation costs microseconds however small it
//! is. So tensors are laid out one after another in rows of [`ROW`] elements, the last row of each filled up with NaN, and
//! every operation is over all of them:
//!
//! ```text
//! counts[(owner of the row · N_SLOTS + slot of the element) · LANES + column mod LANES] += 1
//! ```
//!
//! The lanes keep neighbours that fall into one bin, as zeros do, from waiting for each other. Extremes, sums of squares and
//! the number of −∞, which share the slot of +∞, are taken row by row; [`observed`] folds the rows in their order, and takes
//! off the NaN that were filled in.

use epsiloscope_histogram::{Summary, device as bins};
use epsiloscope_moments::Observed;

/// Elements of a row.
pub const ROW: usize = 1024;
/// Counters per slot: one for each thread of a warp.
pub const LANES: usize = 32;

/// What is found of a row, 32 bits each:
///
/// - the least magnitude bits less one, over all its elements, zero's −1 counting as `i32::MAX`;
/// - the greatest finite magnitude, a float, or zero;
/// - how many elements are −∞;
/// - the sum of squares of finite elements, a double's low and high half.
pub type RowSummary = [i32; 5];

/// Rows of a tensor of so many elements: of one without elements one, so that there are counts of it.
pub fn rows_of(numel: usize) -> usize {
    numel.div_ceil(ROW).max(1)
}

/// What counting found of values from their counts per slot, −∞ among +∞, and the summaries of their rows, in which so many
/// elements are filled in.
///
/// # Panics
/// If there are not [`N_SLOTS`](bins::N_SLOTS) counts, or fewer NaN or infinities than there have to be.
///
/// Counts are taken for unsigned: none may be 2^32 or more.
pub fn observed(counts: &[i32], rows: &[RowSummary], n_filled: usize) -> Observed {
    let mut counts: Vec<u64> = counts.iter().map(|&count| u64::from(count.cast_unsigned())).collect();
    let neg_inf: u64 = rows.iter().map(|&[_, _, neg_inf, _, _]| u64::from(neg_inf.cast_unsigned())).sum();
    counts[bins::POS_INF] -= neg_inf;
    counts[bins::NEG_INF] += neg_inf;
    counts[bins::NAN] -= n_filled as u64;
    let histogram = bins::histogram(&counts);
    let summary = rows.iter().map(summary).fold(Summary::default(), |sum, row| sum.merged(&row));
    let has_finite = histogram.zeros() + histogram.total() > 0;
    Observed { summary: Summary { max: summary.max.filter(|_| has_finite), ..summary }, histogram }
}

fn summary(&[min, max, _, low, high]: &RowSummary) -> Summary {
    Summary {
        min_nonzero: (min < bins::INFINITY_BITS - 1).then(|| f32::from_bits(min as u32 + 1)),
        max: Some(f32::from_bits(max as u32)),
        sum_of_squares: f64::from_bits(u64::from(high as u32) << 32 | u64::from(low as u32)),
    }
}

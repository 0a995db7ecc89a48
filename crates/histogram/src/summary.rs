//! What a tensor's values come to besides their histogram: extremes and the sum of squares.
//!
//! Sums are taken in `f64` over eight interleaved lanes, value `i` going to lane `i mod 8`, that are added in a
//! fixed order, so a summary depends on the values and their order alone. With n values the relative error of
//! `sum_of_squares` is at most `n·2^-53`: squares of `f32` are exact in `f64` and all terms are positive.
//!
//! Values are taken for finite; a block that turns out to hold others is taken again, value by value.

const LANES: usize = 8;
/// Values between two looks for infinities and NaN: 8 KiB, which the first-level cache still holds.
const BLOCK: usize = 2048;
const INFINITY_BITS: i32 = 0x7f80_0000;
const MAGNITUDE_MASK: i32 = 0x7fff_ffff;

/// Extremes and sum of squares over the finite values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// The smallest magnitude that is neither zero, infinite nor NaN.
    pub min_nonzero: Option<f32>,
    /// The largest finite magnitude, `None` if no value is finite; `Some(0.0)` if all are zero.
    pub max: Option<f32>,
    /// Sum of the squares of all finite values.
    pub sum_of_squares: f64,
}

impl Summary {
    /// Summarises a slice.
    ///
    /// # Examples
    /// ```
    /// use epsiloscope_histogram::Summary;
    /// let summary = Summary::of(&[0.0, -3.0, 4.0, f32::INFINITY]);
    /// assert_eq!((summary.min_nonzero, summary.max, summary.sum_of_squares), (Some(3.0), Some(4.0), 25.0));
    /// ```
    pub fn of(values: &[f32]) -> Self {
        let mut summarizer = Summarizer::default();
        summarizer.add(values);
        summarizer.finish()
    }

    /// The summary of the values behind both.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let [min_nonzero, max] =
            [(self.min_nonzero, other.min_nonzero, f32::min as fn(f32, f32) -> f32), (self.max, other.max, f32::max)]
                .map(|(own, others, chosen)| own.into_iter().chain(others).reduce(chosen));
        Self { min_nonzero, max, sum_of_squares: self.sum_of_squares + other.sum_of_squares }
    }
}

/// A summary in the making, for values that come in slices.
///
/// The result is that of [`Summary::of`] to the last bit if every slice but the last is a multiple of 8 long.
#[derive(Clone, Debug)]
pub struct Summarizer {
    /// Least magnitude bits minus one, as an unsigned number: zero wraps round to the largest and never wins.
    min: [u32; LANES],
    /// Greatest magnitude bits minus one, as a signed number: zero is −1, and less is nothing.
    max: [i32; LANES],
    /// Of the squares of all values, or of other terms.
    sum: [f64; LANES],
}

impl Default for Summarizer {
    fn default() -> Self {
        Self { min: [u32::MAX; LANES], max: [i32::MIN; LANES], sum: [0.0; LANES] }
    }
}

impl Summarizer {
    /// Takes more values.
    pub fn add(&mut self, values: &[f32]) {
        let square = |x| x * x;
        for block in values.chunks(BLOCK) {
            let (chunks, rest) = block.as_chunks();
            let after = self.clone().with_chunks(chunks, square);
            if after.is_finite() {
                *self = after;
            } else {
                for chunk in chunks {
                    self.add_each(chunk, square);
                }
            }
            self.add_each(rest, square);
        }
    }

    /// Takes values and sums their terms instead of the squares; `None` if any is not finite.
    pub(crate) fn of_finite(values: &[f32], term: impl Fn(f64) -> f64 + Copy) -> Option<Self> {
        let (chunks, rest) = values.as_chunks();
        let mut summarizer = Self::default().with_chunks(chunks, term);
        rest.iter().enumerate().for_each(|(lane, &value)| summarizer.add_to_lane(lane, value, term));
        summarizer.is_finite().then_some(summarizer)
    }

    /// Takes what another has taken.
    pub(crate) fn merge(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.min[lane] = self.min[lane].min(other.min[lane]);
            self.max[lane] = self.max[lane].max(other.max[lane]);
            self.sum[lane] += other.sum[lane];
        }
    }

    /// The summary of everything taken.
    pub fn finish(&self) -> Summary {
        let min = self.min.into_iter().fold(u32::MAX, u32::min);
        let max = self.max.into_iter().fold(i32::MIN, i32::max);
        Summary {
            min_nonzero: (min < u32::MAX).then(|| f32::from_bits(min + 1)),
            max: (max > i32::MIN).then(|| f32::from_bits((max + 1) as u32)),
            sum_of_squares: self.sum.into_iter().sum(),
        }
    }

    fn is_finite(&self) -> bool {
        self.max.into_iter().all(|max| max < INFINITY_BITS - 1)
    }

    fn add_each(&mut self, values: &[f32], term: impl Fn(f64) -> f64) {
        let finite = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        finite.for_each(|(lane, &value)| self.add_to_lane(lane, value, &term));
    }

    #[inline(always)]
    fn add_to_lane(&mut self, lane: usize, value: f32, term: impl Fn(f64) -> f64) {
        let less_one = (value.to_bits() as i32 & MAGNITUDE_MASK) - 1;
        self.min[lane] = self.min[lane].min(less_one as u32);
        self.max[lane] = self.max[lane].max(less_one);
        self.sum[lane] += term(f64::from(value));
    }
    fn with_chunks(self, chunks: &[[f32; LANES]], term: impl Fn(f64) -> f64) -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "calling a function compiled for AVX2")]
            // SAFETY: the processor has it, as just checked.
            return unsafe { self.with_chunks_avx2(chunks, term) };
        }
        self.with_chunks_any(chunks, term)
    }

    /// The same code, compiled for wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn with_chunks_avx2(self, chunks: &[[f32; LANES]], term: impl Fn(f64) -> f64) -> Self {
        self.with_chunks_any(chunks, term)
    }

    /// The state after finite values.
    #[inline(always)]
    fn with_chunks_any(self, chunks: &[[f32; LANES]], term: impl Fn(f64) -> f64) -> Self {
        let Self { mut min, mut max, mut sum } = self;
        for chunk in chunks {
            let less_one = chunk.map(|value| (value.to_bits() as i32 & MAGNITUDE_MASK) - 1);
            min = std::array::from_fn(|lane| min[lane].min(less_one[lane] as u32));
            max = std::array::from_fn(|lane| max[lane].max(less_one[lane]));
            let terms = chunk.map(f64::from).map(&term);
            sum = std::array::from_fn(|lane| sum[lane] + terms[lane]);
        }
        Self { min, max, sum }
    }
}

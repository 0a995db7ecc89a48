//! What a tensor's values come to besides their histogram: extremes and the sum of squares.
//!
//! Sums are taken in `f64` over sixteen interleaved lanes, value `i` going to lane `i mod 16`, that are added in a
//! fixed order, so a summary depends on the values and their order alone. With n values the relative error of
//! `sum_of_squares` is at most `n·2^-53`: squares of `f32` are exact in `f64` and all terms are positive.
//!
//! Values are taken for finite; a block that turns out to hold others is taken again, value by value.

const LANES: usize = 16;
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
}

/// A summary in the making, for values that come in slices.
///
/// The result is that of [`Summary::of`] to the last bit if every slice but the last is a multiple of 16 long.
#[derive(Clone, Debug)]
pub struct Summarizer {
    /// Least magnitude bits minus one, as an unsigned number: zero wraps round to the largest and never wins.
    min: [u32; LANES],
    /// Greatest magnitude bits minus one, as a signed number: zero is −1, and less is nothing.
    max: [i32; LANES],
    sum_of_squares: [f64; LANES],
}

impl Default for Summarizer {
    fn default() -> Self {
        Self { min: [u32::MAX; LANES], max: [i32::MIN; LANES], sum_of_squares: [0.0; LANES] }
    }
}

impl Summarizer {
    /// Takes more values.
    pub fn add(&mut self, values: &[f32]) {
        for block in values.chunks(BLOCK) {
            let (chunks, rest) = block.as_chunks();
            let before = self.clone();
            self.add_finite(chunks);
            if self.max.into_iter().any(|max| max >= INFINITY_BITS - 1) {
                *self = before;
                for chunk in chunks {
                    self.add_each(chunk);
                }
            }
            self.add_each(rest);
        }
    }

    /// The summary of everything taken.
    pub fn finish(self) -> Summary {
        let min = self.min.into_iter().fold(u32::MAX, u32::min);
        let max = self.max.into_iter().fold(i32::MIN, i32::max);
        Summary {
            min_nonzero: (min < u32::MAX).then(|| f32::from_bits(min + 1)),
            max: (max > i32::MIN).then(|| f32::from_bits((max + 1) as u32)),
            sum_of_squares: self.sum_of_squares.into_iter().sum(),
        }
    }

    fn add_finite(&mut self, chunks: &[[f32; LANES]]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "calling a function compiled for AVX2 and FMA")]
            // SAFETY: the processor has both, as just checked.
            unsafe {
                self.add_finite_fma(chunks);
            }
            return;
        }
        self.add_finite_any(chunks, |sum, value| value * value + sum);
    }

    /// The same code, compiled for wider registers; as squares are exact, one rounding is as good as two.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn add_finite_fma(&mut self, chunks: &[[f32; LANES]]) {
        self.add_finite_any(chunks, |sum, value| value.mul_add(value, sum));
    }

    #[inline(always)]
    fn add_finite_any(&mut self, chunks: &[[f32; LANES]], add_square: impl Fn(f64, f64) -> f64) {
        // In a variable of its own the state stays in registers.
        let mut lanes = self.clone();
        for chunk in chunks {
            for (lane, &value) in chunk.iter().enumerate() {
                lanes.add_to_lane(lane, value, &add_square);
            }
        }
        *self = lanes;
    }

    fn add_each(&mut self, values: &[f32]) {
        let finite = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        finite.for_each(|(lane, &value)| self.add_to_lane(lane, value, |sum, value| value * value + sum));
    }

    #[inline(always)]
    fn add_to_lane(&mut self, lane: usize, value: f32, add_square: impl Fn(f64, f64) -> f64) {
        let less_one = (value.to_bits() as i32 & MAGNITUDE_MASK) - 1;
        self.min[lane] = self.min[lane].min(less_one as u32);
        self.max[lane] = self.max[lane].max(less_one);
        self.sum_of_squares[lane] = add_square(self.sum_of_squares[lane], f64::from(value));
    }
}

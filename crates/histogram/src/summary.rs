//! What a tensor's values come to besides their histogram: extremes and the sum of squares.
//!
//! Sums are taken in `f64` over eight interleaved lanes that are added in a fixed order, so a summary
//! depends on the values and their order alone. With n values the relative error of `sum_of_squares` is at most
//! `n·2^-53`: squares of `f32` are exact in `f64` and all terms are positive.

const LANES: usize = 8;
const INFINITY_BITS: u32 = 0x7f80_0000;

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
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "calling a function compiled for AVX2")]
            // SAFETY: the processor has AVX2, as just checked.
            return unsafe { summarise_avx2(values) };
        }
        summarise(values)
    }
}

/// The same code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn summarise_avx2(values: &[f32]) -> Summary {
    summarise(values)
}

#[inline(always)]
fn summarise(values: &[f32]) -> Summary {
    let mut lanes = Lanes::default();
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.add(chunk);
    }
    if !rest.is_empty() {
        // NaN changes no extreme and no sum.
        let mut chunk = [f32::NAN; LANES];
        chunk[..rest.len()].copy_from_slice(rest);
        lanes.add(&chunk);
    }
    lanes.finish()
}

struct Lanes {
    /// Least magnitude bits minus one: zero wraps round to the largest number and never wins.
    min_minus_one: [u32; LANES],
    /// Greatest finite magnitude bits plus one; 0 while no finite value was seen.
    max_plus_one: [u32; LANES],
    sum_of_squares: [f64; LANES],
}

impl Default for Lanes {
    fn default() -> Self {
        Self { min_minus_one: [u32::MAX; LANES], max_plus_one: [0; LANES], sum_of_squares: [0.0; LANES] }
    }
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, chunk: &[f32; LANES]) {
        for (lane, &value) in chunk.iter().enumerate() {
            let bits = value.to_bits() & 0x7fff_ffff;
            let is_finite = bits < INFINITY_BITS;
            self.min_minus_one[lane] = self.min_minus_one[lane].min(bits.wrapping_sub(1));
            self.max_plus_one[lane] = self.max_plus_one[lane].max(if is_finite { bits + 1 } else { 0 });
            let finite = f64::from(if is_finite { value } else { 0.0 });
            self.sum_of_squares[lane] += finite * finite;
        }
    }

    fn finish(self) -> Summary {
        let min = self.min_minus_one.into_iter().fold(u32::MAX, u32::min);
        let max = self.max_plus_one.into_iter().fold(0, u32::max);
        Summary {
            min_nonzero: (min < INFINITY_BITS - 1).then(|| f32::from_bits(min + 1)),
            max: (max > 0).then(|| f32::from_bits(max - 1)),
            sum_of_squares: self.sum_of_squares.into_iter().sum(),
        }
    }
}

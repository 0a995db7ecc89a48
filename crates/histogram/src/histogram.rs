//! Finished counts: what a [`Counter`](crate::Counter) hands over, what files hold, what estimates read.

use std::fmt;

use crate::bins::{self, BINS_PER_DECADE, BinRange};

/// Counts per bin, with zeros, NaN and infinities counted apart.
///
/// Merging adds counts, so it is exact and the order does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// A divisor of [`BINS_PER_DECADE`].
    bins_per_decade: u32,
    /// The bin of `counts[0]`.
    first_bin: i32,
    /// Neither first nor last count is zero, so equal contents compare equal.
    counts: Vec<u64>,
    zeros: u64,
    nan: u64,
    pos_inf: u64,
    neg_inf: u64,
}

/// A number of bins per decade to which a histogram cannot be coarsened exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinsPerDecadeError {
    /// What was asked for.
    pub asked: u32,
    /// What the histogram has.
    pub has: u32,
}

impl fmt::Display for BinsPerDecadeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bins per decade cannot be merged exactly into {}: expected a divisor", self.has, self.asked)
    }
}

impl std::error::Error for BinsPerDecadeError {}

/// A quantile read from counts: the bin it certainly lies in, and a point inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The bin that holds the order statistic.
    pub range: BinRange,
    /// Log-linear interpolation inside the bin by rank, as PromQL does for exponential buckets.
    pub estimate: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            bins_per_decade: BINS_PER_DECADE,
            first_bin: 0,
            counts: Vec::new(),
            zeros: 0,
            nan: 0,
            pos_inf: 0,
            neg_inf: 0,
        }
    }
}

impl Histogram {
    /// A histogram from `(bin, count)` pairs at 40 bins per decade, in any order, without zeros, NaN or infinities.
    ///
    /// # Panics
    /// If a bin lies outside [`bins::MIN_BIN`]`..=`[`bins::MAX_BIN`].
    pub fn from_bins(pairs: impl IntoIterator<Item = (i32, u64)>) -> Self {
        let mut histogram = Self::default();
        histogram.extend(pairs);
        histogram
    }

    /// This histogram with its counts of zeros, NaN, +∞ and −∞, in this order, replaced.
    #[must_use]
    pub fn with_counted_apart(self, [zeros, nan, pos_inf, neg_inf]: [u64; 4]) -> Self {
        Self { zeros, nan, pos_inf, neg_inf, ..self }
    }

    /// `counts[i]` is the count of bin `first_bin + i`; `apart` is zeros, NaN, +∞, −∞.
    pub(crate) fn from_counts(first_bin: i32, counts: &[u64], apart: [u64; 4]) -> Self {
        let [zeros, nan, pos_inf, neg_inf] = apart;
        let apart = Self { zeros, nan, pos_inf, neg_inf, ..Self::default() };
        match counts.iter().position(|&count| count != 0) {
            None => apart,
            Some(first) => {
                let last = counts.iter().rposition(|&count| count != 0).unwrap_or(first);
                Self { first_bin: first_bin + first as i32, counts: counts[first..=last].to_vec(), ..apart }
            }
        }
    }

    /// Non-empty bins in ascending order, with their counts.
    pub fn bins(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        (self.first_bin..).zip(&self.counts).filter(|&(_, &count)| count != 0).map(|(bin, &count)| (bin, count))
    }

    /// The first bin that is not empty, and the counts from there to the last; no counts where nothing was counted.
    pub fn dense(&self) -> (i32, &[u64]) {
        (self.first_bin, &self.counts)
    }

    /// How many bins make a decade.
    pub fn bins_per_decade(&self) -> u32 {
        self.bins_per_decade
    }

    /// Finite, non-zero values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Exact zeros.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Values that are not a number.
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// Positive infinities.
    pub fn pos_inf(&self) -> u64 {
        self.pos_inf
    }

    /// Negative infinities.
    pub fn neg_inf(&self) -> u64 {
        self.neg_inf
    }

    /// Every value counted: finite, zero, NaN and infinite.
    pub fn numel(&self) -> u64 {
        self.total() + self.zeros + self.nan + self.pos_inf + self.neg_inf
    }

    /// This histogram and another, added.
    ///
    /// # Panics
    /// If the two differ in bins per decade; [`coarsened`](Self::coarsened) brings them together.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        assert_eq!(self.bins_per_decade, other.bins_per_decade, "histograms of different bin widths do not add");
        self.extend(other.bins());
        self.zeros += other.zeros;
        self.nan += other.nan;
        self.pos_inf += other.pos_inf;
        self.neg_inf += other.neg_inf;
        self
    }

    /// The same values in wider bins, an exact merge of neighbours.
    ///
    /// # Errors
    /// [`BinsPerDecadeError`] unless `bins_per_decade` divides the present number.
    pub fn coarsened(&self, bins_per_decade: u32) -> Result<Self, BinsPerDecadeError> {
        if bins_per_decade == 0 || !self.bins_per_decade.is_multiple_of(bins_per_decade) {
            return Err(BinsPerDecadeError { asked: bins_per_decade, has: self.bins_per_decade });
        }
        let factor = (self.bins_per_decade / bins_per_decade) as i32;
        let first_bin = self.first_bin.div_euclid(factor);
        let mut counts = Vec::new();
        for (bin, count) in self.bins() {
            let index = (bin.div_euclid(factor) - first_bin) as usize;
            counts.resize(counts.len().max(index + 1), 0);
            counts[index] += count;
        }
        Ok(Self { bins_per_decade, first_bin, counts, ..*self })
    }

    /// The bin that holds the `index`-th smallest of the finite, non-zero magnitudes, counted from 0.
    ///
    /// The order statistic itself lies in `[lower, upper)` of that bin. `None` if `index >= total()`.
    pub fn order_statistic(&self, index: u64) -> Option<BinRange> {
        self.locate(index).map(|(range, _)| range)
    }

    /// The quantile `q` in `[0, 1]` of the finite, non-zero magnitudes: the order statistic of index `floor(q·n)`, at
    /// most n − 1.
    ///
    /// `None` if nothing was counted.
    ///
    /// # Panics
    /// If `q` lies outside `[0, 1]`.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        assert!((0.0..=1.0).contains(&q), "quantile {q} lies outside [0, 1]");
        let total = self.total();
        let index = ((q * total as f64) as u64).min(total.checked_sub(1)?);
        let (range, position) = self.locate(index)?;
        let estimate = range.lower() * (range.upper() / range.lower()).powf(position);
        Some(Quantile { range, estimate })
    }

    /// The bin of an order statistic and its position among the bin's own values, in `(0, 1)`.
    fn locate(&self, index: u64) -> Option<(BinRange, f64)> {
        let mut below = 0;
        for (bin, count) in self.bins() {
            if index < below + count {
                let position = ((index - below) as f64 + 0.5) / count as f64;
                return Some((BinRange { bin, bins_per_decade: self.bins_per_decade }, position));
            }
            below += count;
        }
        None
    }

    /// Extends `counts` so that a bin has a place.
    fn cover(&mut self, bin: i32) {
        let factor = (BINS_PER_DECADE / self.bins_per_decade) as i32;
        let floats = bins::MIN_BIN.div_euclid(factor)..=bins::MAX_BIN.div_euclid(factor);
        assert!(floats.contains(&bin), "bin {bin} holds no float");
        if self.counts.is_empty() {
            self.first_bin = bin;
        }
        if bin < self.first_bin {
            let missing = (self.first_bin - bin) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first_bin = bin;
        }
        let end = (bin - self.first_bin) as usize + 1;
        self.counts.resize(self.counts.len().max(end), 0);
    }
}

/// Adds `(bin, count)` pairs, in any order.
///
/// # Panics
/// If a bin is that of no float.
impl Extend<(i32, u64)> for Histogram {
    fn extend<I: IntoIterator<Item = (i32, u64)>>(&mut self, pairs: I) {
        // A count of zero must not stand at either end.
        for (bin, count) in pairs.into_iter().filter(|&(_, count)| count != 0) {
            if !(self.first_bin..self.first_bin + self.counts.len() as i32).contains(&bin) {
                self.cover(bin);
            }
            self.counts[(bin - self.first_bin) as usize] += count;
        }
    }
}

//! Magnitudes through training: histograms of groups of tensors, window by window, made small by exact sums.

use std::collections::BTreeMap;
use std::num::NonZeroI64;

use epsiloscope_format::Run;
use epsiloscope_histogram::{BINS_PER_DECADE, Histogram};

use crate::histograms::ScopeHistogram;
use crate::window::{Window, Windows};

/// Histograms by group and window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Of every histogram.
    pub bins_per_decade: u32,
    /// First and last step that was counted, window by window.
    pub windows: Vec<(i64, i64)>,
    /// By group, then by window; of a group that had none, nothing.
    pub groups: Vec<Vec<Option<Histogram>>>,
}

/// First and last step of a window, and its histograms by group.
type Column = ((i64, i64), BTreeMap<usize, Histogram>);

/// One histogram and where it belongs: group, window, first and last step.
pub type Placed = (usize, usize, (i64, i64), Histogram);

/// A histogram in the place of its window; `None` if it is in none of them.
pub fn placed(of: &ScopeHistogram, group: usize, windows: &Windows) -> Option<Placed> {
    let window = windows.of_step(of.first_step)?;
    Some((group, window, (of.first_step, of.last_step), of.histogram.clone()))
}

/// At most so many windows of equally many recorded steps, `n_merged` of them taken together.
pub fn windows_within(run: &Run, n_windows: usize, n_merged: i64) -> Window {
    let n_steps = n_recorded(run).div_ceil(n_windows.max(1) as u64) as i64 * cadence(run) * n_merged;
    NonZeroI64::new(n_steps).map_or(Window::Run, Window::Every)
}

/// Steps at most recorded, by cadence.
pub fn n_recorded(run: &Run) -> u64 {
    (run.last_step() / cadence(run)).max(1) as u64
}

/// Steps from one recorded to the next.
pub fn cadence(run: &Run) -> i64 {
    (run.manifest().cadence.every as i64).max(1)
}

impl Series {
    /// Of histograms with as many bins per decade each, those of one group and window added; windows in which no group has any
    /// are left out.
    pub fn new(n_groups: usize, placed: impl IntoIterator<Item = Placed>) -> Self {
        let mut columns: BTreeMap<usize, Column> = BTreeMap::new();
        let mut bins_per_decade = BINS_PER_DECADE;
        for (group, window, steps, histogram) in placed {
            let (span, cells) = columns.entry(window).or_insert_with(|| (steps, BTreeMap::new()));
            *span = hull(*span, steps);
            bins_per_decade = histogram.bins_per_decade();
            let sum = match cells.remove(&group) {
                Some(sum) => sum.merged(&histogram),
                None => histogram,
            };
            cells.insert(group, sum);
        }
        let mut groups = vec![Vec::new(); n_groups];
        for (_, cells) in columns.values_mut() {
            for (index, group) in groups.iter_mut().enumerate() {
                group.push(cells.remove(&index));
            }
        }
        Self { bins_per_decade, windows: columns.values().map(|&(span, _)| span).collect(), groups }
    }

    /// As fine as a number of counts allows: neighbouring windows merge by twos and bins grow wider in turn.
    #[must_use]
    pub fn within(mut self, n_counts: usize) -> Self {
        while self.n_counts() > n_counts {
            self = match (self.bins_per_decade, self.windows.len()) {
                (40, _) => self.with_bins(20),
                (_, 25..) => self.with_windows_merged(2),
                (20, _) => self.with_bins(10),
                (_, 2..) => self.with_windows_merged(2),
                (10, _) => self.with_bins(5),
                (5, _) => self.with_bins(1),
                _ => return self,
            };
        }
        self
    }

    /// Sums of so many neighbouring windows.
    #[must_use]
    pub fn with_windows_merged(self, n: usize) -> Self {
        let spans = self.windows.chunks(n).map(|spans| spans.iter().copied().reduce(hull).unwrap_or_default());
        let summed = |cells: &[Option<Histogram>]| {
            cells.iter().flatten().cloned().reduce(|sum, histogram| sum.merged(&histogram))
        };
        let groups = self.groups.iter().map(|cells| cells.chunks(n).map(summed).collect());
        Self { windows: spans.collect(), groups: groups.collect(), ..self }
    }

    fn with_bins(self, bins_per_decade: u32) -> Self {
        let wider = |histogram: Histogram| histogram.coarsened(bins_per_decade).expect("each number divides the last");
        let of_group = |cells: Vec<Option<Histogram>>| cells.into_iter().map(|cell| cell.map(wider)).collect();
        Self { bins_per_decade, groups: self.groups.into_iter().map(of_group).collect(), ..self }
    }

    /// Each as fine as its share of a number of counts allows; what small ones leave goes to the greater.
    pub fn all_within(series: Vec<Self>, n_counts: usize) -> Vec<Self> {
        let mut order: Vec<usize> = (0..series.len()).collect();
        order.sort_by_key(|&index| series[index].n_counts());
        let mut left = n_counts;
        let mut within: Vec<Option<Self>> = series.into_iter().map(Some).collect();
        for (rank, &index) in order.iter().enumerate() {
            let share = left / (order.len() - rank);
            let fitted = within[index].take().map(|series| series.within(share));
            left -= fitted.as_ref().map_or(0, Self::n_counts).min(left);
            within[index] = fitted;
        }
        within.into_iter().flatten().collect()
    }

    /// Bins between the first and the last that are not empty, of every histogram.
    fn n_counts(&self) -> usize {
        self.groups.iter().flatten().flatten().map(|histogram| histogram.dense().1.len()).sum()
    }
}

fn hull(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(group, window, bin, count)`
    type Row = (usize, usize, i32, u64);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        proptest::collection::vec((0..3usize, 0..40usize, -200..100i32, 1..1000u64), 1..200)
    }

    fn series(rows: &[Row]) -> Series {
        let mut histograms: BTreeMap<(usize, usize), Histogram> = BTreeMap::new();
        for &(group, window, bin, count) in rows {
            histograms.entry((group, window)).or_default().extend([(bin, count)]);
        }
        let steps = |window: usize| (10 * window as i64 + 1, 10 * window as i64 + 10);
        let placed = histograms.into_iter().map(|((group, window), of)| (group, window, steps(window), of));
        Series::new(3, placed)
    }

    proptest! {
        /// Whatever is merged, a group's counts between any two steps and bins that are still told apart are the sums of
        /// the rows between them.
        #[test]
        fn prop_a_coarser_series_holds_the_sums_of_its_rows(rows in rows(), n_counts in 1..3000usize) {
            let coarse = series(&rows).within(n_counts);
            let width = (BINS_PER_DECADE / coarse.bins_per_decade) as i32;
            for (index, &(first, last)) in coarse.windows.iter().enumerate() {
                for (group, cells) in coarse.groups.iter().enumerate() {
                    let mut expected: BTreeMap<i32, u64> = BTreeMap::new();
                    for &(of, window, bin, count) in &rows {
                        if of == group && (first..=last).contains(&(10 * window as i64 + 1)) {
                            *expected.entry(bin.div_euclid(width)).or_default() += count;
                        }
                    }
                    let found: BTreeMap<i32, u64> = cells[index].iter().flat_map(Histogram::bins).collect();
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert!(coarse.n_counts() <= n_counts || coarse.windows.len() == 1 && coarse.bins_per_decade == 1);
        }

        #[test]
        fn prop_windows_stay_apart_and_ascend(rows in rows(), n in 1..9usize) {
            let merged = series(&rows).with_windows_merged(n);
            prop_assert!(merged.windows.windows(2).all(|pair| pair[0].1 < pair[1].0));
            prop_assert!(merged.groups.iter().all(|cells| cells.len() == merged.windows.len()));
        }

        #[test]
        fn prop_dense_counts_are_the_bins(pairs in proptest::collection::btree_map(-1000..1000i32, 1..9u64, 0..50)) {
            let histogram = Histogram::from_bins(pairs.clone());
            let (first, counts) = histogram.dense();
            let found = (first..).zip(counts.iter().copied()).filter(|&(_, count)| count > 0).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(found, pairs);
        }
    }
}

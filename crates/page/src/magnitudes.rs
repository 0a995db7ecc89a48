//! The magnitudes of a run through its steps: what the heat map and the histogram show.

use epsiloscope_analysis::grouping::Grouping;
use epsiloscope_analysis::through_training::{Placed, Series, n_recorded, placed, windows_within};
use epsiloscope_analysis::{AnalysisError, HistogramOptions, Scope, ScopeHistogram, Window, histograms};
use epsiloscope_format::Run;
use epsiloscope_histogram::Histogram;
use serde::Serialize;

use crate::budget::Budget;

/// One quantity.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Quantity {
    name: String,
    /// Over all tensors.
    run: Table,
    /// Tensor by tensor, in the manifest's order.
    tensors: Table,
}

/// Counts by group and window.
#[derive(Clone, Debug, Serialize)]
struct Table {
    bins_per_decade: u32,
    windows: Vec<(i64, i64)>,
    groups: Vec<Vec<Option<Vec<i64>>>>,
}

/// Every quantity of a run, by name; windows as asked for, or as many as the budget has.
pub(crate) fn quantities(run: &Run, asked: Option<Window>, budget: Budget) -> Result<Vec<Quantity>, AnalysisError> {
    let manifest = run.manifest();
    let (n_tensors, n_quantities) = (manifest.tensors.len().max(1), manifest.quantities.len().max(1));
    // Each window of tensors is a number of the run's windows, so that their sums agree.
    let n_windows = budget.windows.min(n_recorded(run) as usize);
    let n_merged = n_windows.div_ceil((budget.tensor_histograms / n_tensors / n_quantities).max(1));
    let windows = asked.unwrap_or_else(|| windows_within(run, budget.windows, 1));
    let windows_of_tensors = asked.unwrap_or_else(|| windows_within(run, budget.windows, n_merged as i64));
    let of_run = of_scope(run, Scope::Run, windows)?;
    let of_tensors = of_scope(run, Scope::Tensor, windows_of_tensors)?;
    let grouping = Grouping::of(&manifest.tensors);
    let groups = grouping.groups(Scope::Tensor);
    let tensor = |name: &Option<String>| groups.binary_search_by(|group| group.name.cmp(name)).ok();
    let splits = [windows.split(run)?, windows_of_tensors.split(run)?];
    let (mut all, mut each) = (Vec::new(), Vec::new());
    for name in &manifest.quantities {
        let place = |of: &ScopeHistogram, group, split: usize| -> Option<Placed> {
            if of.quantity == *name { placed(of, group, &splits[split]) } else { None }
        };
        let place_tensor = |of: &ScopeHistogram| place(of, groups[tensor(&of.name)?].tensors[0], 1);
        let of_quantity = Series::new(1, of_run.iter().filter_map(|of| place(of, 0, 0)));
        let n_too_many = of_quantity.windows.len().div_ceil(budget.windows).max(1);
        all.push(of_quantity.with_windows_merged(n_too_many));
        each.push(Series::new(manifest.tensors.len(), of_tensors.iter().filter_map(place_tensor)));
    }
    let all = Series::all_within(all, budget.run_counts);
    let each = Series::all_within(each, budget.tensor_counts);
    let named = manifest.quantities.iter().zip(all.into_iter().zip(each));
    let counted = named.filter(|(_, (all, _))| !all.windows.is_empty());
    Ok(counted
        .map(|(name, (all, each))| Quantity { name: name.clone(), run: all.into(), tensors: each.into() })
        .collect())
}

fn of_scope(run: &Run, scope: Scope, window: Window) -> Result<Vec<ScopeHistogram>, AnalysisError> {
    histograms(run, &HistogramOptions { scope, window, ..HistogramOptions::default() })
}

impl From<Series> for Table {
    fn from(series: Series) -> Self {
        let of_group = |cells: Vec<Option<Histogram>>| cells.iter().map(|cell| cell.as_ref().map(counts)).collect();
        Self {
            bins_per_decade: series.bins_per_decade,
            windows: series.windows,
            groups: series.groups.into_iter().map(of_group).collect(),
        }
    }
}

/// First bin, zeros, what is not finite, then counts from that bin on.
pub(crate) fn counts(histogram: &Histogram) -> Vec<i64> {
    let (first, counts) = histogram.dense();
    let non_finite = histogram.nan() + histogram.pos_inf() + histogram.neg_inf();
    let apart = [i64::from(first), histogram.zeros() as i64, non_finite as i64];
    apart.into_iter().chain(counts.iter().map(|&count| count as i64)).collect()
}

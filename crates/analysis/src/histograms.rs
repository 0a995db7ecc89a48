//! Gradient magnitude histograms of a run: counts per bin, by tensor, layer, kind or over the run, window by window.
//!
//! Counts are integers, so a histogram is the same whichever part of the run is read first, or by which thread. Part files
//! are read in parallel and forgotten; what stays in memory is the result.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use epsiloscope_format::{FormatError, Part, Run, Segment, Table};
use epsiloscope_histogram::{BINS_PER_DECADE, Counter, Histogram};
use rayon::prelude::*;

use crate::error::AnalysisError;
use crate::grouping::{Grouping, Scope};
use crate::replay::not_recorded;
use crate::window::{Window, Windows};

/// What to count, and how finely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Tensors whose counts are added.
    pub scope: Scope,
    /// Steps whose counts are added.
    pub window: Window,
    /// Names of the tensors that are counted; all if none is named.
    pub tensors: Vec<String>,
    /// What the magnitudes are of; everything recorded if none is named.
    pub quantities: Vec<String>,
    /// A divisor of [`BINS_PER_DECADE`].
    pub bins_per_decade: u32,
    /// The table to count; if none is named, `histograms` where the run has it, else `magnitudes`. Both give the same
    /// where both cover every element.
    pub origin: Option<Origin>,
}

impl Default for HistogramOptions {
    fn default() -> Self {
        Self {
            scope: Scope::Tensor,
            window: Window::Run,
            tensors: Vec::new(),
            quantities: Vec::new(),
            bins_per_decade: BINS_PER_DECADE,
            origin: None,
        }
    }
}

/// Which table of the run is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `histograms`: every element, binned while recording.
    Histograms,
    /// `magnitudes`: the recorded elements, binned now.
    Magnitudes,
}

/// The histogram of one group of tensors, one quantity and one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeHistogram {
    /// The run's name.
    pub run: String,
    /// What it is over.
    pub scope: Scope,
    /// The tensor's, layer's or kind's name; none over the run.
    pub name: Option<String>,
    /// What the magnitudes are of.
    pub quantity: String,
    /// The first step whose counts were added.
    pub first_step: i64,
    /// The last.
    pub last_step: i64,
    /// The counts; zeros, NaN and infinities included.
    pub histogram: Histogram,
}

/// The histograms of a run, sorted by name, quantity and window. Those without any non-zero finite magnitude are left out.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run does not hold what is asked for; [`AnalysisError::Format`] if a file cannot
/// be read.
pub fn histograms(run: &Run, options: &HistogramOptions) -> Result<Vec<ScopeHistogram>, AnalysisError> {
    let recorded = if run.manifest().histograms { Origin::Histograms } else { Origin::Magnitudes };
    let plan = Plan::new(run, options)?;
    let counts = match options.origin.unwrap_or(recorded) {
        Origin::Histograms => {
            let bins = plan.counted(Table::Histograms, |part, counts| plan.add_bins(part, counts))?;
            bins.merged(plan.counted(Table::Tensors, |part, counts| plan.add_apart(part, counts))?)
        }
        Origin::Magnitudes => plan.counted(Table::Magnitudes, |part, counts| plan.count_values(part, counts))?,
    };
    let histograms: Vec<ScopeHistogram> = plan.named(options, counts)?;
    if histograms.is_empty() {
        let reason = "no histogram and no magnitude was recorded: expected either of these steps and quantities";
        return Err(not_recorded(run, reason.to_owned()));
    }
    Ok(histograms)
}

/// Which histogram a row of a run belongs to.
struct Plan<'a> {
    run: &'a Run,
    windows: Windows,
    grouping: Grouping,
    /// The group of each tensor; none of those that are not asked for.
    group_of: Vec<Option<usize>>,
    /// Whether each quantity is asked for.
    is_wanted: Vec<bool>,
}

/// Indices of the group, the quantity and the window.
type Key = (usize, u32, usize);

impl<'a> Plan<'a> {
    fn new(run: &'a Run, options: &HistogramOptions) -> Result<Self, AnalysisError> {
        let quantities = &run.manifest().quantities;
        if let Some(unknown) = options.quantities.iter().find(|asked| !quantities.contains(asked)) {
            let reason = format!("{unknown} was not recorded: expected {}", quantities.join(", "));
            return Err(not_recorded(run, reason));
        }
        let grouping = Grouping::of(&run.manifest().tensors);
        let names = run.manifest().tensors.iter().map(|tensor| &tensor.name);
        let known: BTreeSet<&String> = names.clone().collect();
        if let Some(unknown) = options.tensors.iter().find(|asked| !known.contains(asked)) {
            return Err(not_recorded(run, format!("tensor {unknown} was not recorded")));
        }
        let asked: BTreeSet<&String> = options.tensors.iter().collect();
        let is_counted = |name| asked.is_empty() || asked.contains(name);
        let groups = grouping.group_of_tensors(options.scope).into_iter().zip(names);
        let is_wanted = |quantity| options.quantities.is_empty() || options.quantities.contains(quantity);
        Ok(Self {
            run,
            windows: options.window.split(run)?,
            group_of: groups.map(|(group, name)| is_counted(name).then_some(group)).collect(),
            grouping,
            is_wanted: quantities.iter().map(is_wanted).collect(),
        })
    }

    fn key(&self, step: i64, tensor: u32, quantity: u32) -> Option<Key> {
        let window = self.is_wanted[quantity as usize].then(|| self.windows.of_step(step))?;
        Some((self.group_of[tensor as usize]?, quantity, window?))
    }

    /// What `add` makes of the parts of a table, read in parallel. Of several faults the first part's is told.
    fn counted(
        &self,
        table: Table,
        add: impl Fn(&Part<'_>, &mut Counts) -> Result<(), FormatError> + Sync,
    ) -> Result<Counts, FormatError> {
        let parts = self.run.parts_at(table, &self.windows.span());
        let added = |counts: Result<Counts, FormatError>, part: &Part<'_>| {
            let mut counts = counts?;
            add(part, &mut counts)?;
            Ok(counts)
        };
        let none = || Ok(Counts::default());
        parts.par_iter().fold(none, added).reduce(none, |left, right| Ok(left?.merged(right?)))
    }

    /// Counts magnitudes with the histogram kernel.
    fn count_values(&self, part: &Part<'_>, counts: &mut Counts) -> Result<(), FormatError> {
        let values = part.values()?;
        let keyed = values.segments.iter().filter_map(|segment| {
            let key = self.key(segment.step, segment.tensor, segment.quantity)?;
            Some((key, segment))
        });
        let mut segments: Vec<(Key, &Segment)> = keyed.collect();
        // All of a key, one after the other, so that a counter is emptied once for each.
        segments.sort_by_key(|(key, segment)| (*key, segment.step));
        let mut counter = Counter::new();
        for same in segments.chunk_by(|(key, _), (next, _)| key == next) {
            let (Some((key, first)), Some((_, last))) = (same.first(), same.last()) else { continue };
            for (_, segment) in same {
                counter.count(&values.magnitude[segment.rows.clone()]);
            }
            counts.add(*key, Counted { first_step: first.step, last_step: last.step, histogram: counter.take() });
        }
        Ok(())
    }

    /// Adds counts of every element, binned while recording.
    fn add_bins(&self, part: &Part<'_>, counts: &mut Counts) -> Result<(), FormatError> {
        for batch in part.histograms()? {
            for segment in batch.segments() {
                if let Some(key) = self.key(segment.step, segment.tensor, segment.quantity) {
                    let bins = &batch.bin.values()[segment.rows.clone()];
                    let bin_counts = batch.count.values()[segment.rows].iter().map(|&count| count as u64);
                    counts.at(key, segment.step).extend(bins.iter().copied().zip(bin_counts));
                }
            }
        }
        Ok(())
    }

    /// Adds what was counted apart from bins.
    fn add_apart(&self, part: &Part<'_>, counts: &mut Counts) -> Result<(), FormatError> {
        for batch in part.tensors()? {
            for row in 0..batch.step.len() {
                let step = batch.step.value(row);
                if let Some(key) = self.key(step, batch.tensor[row], batch.quantity[row]) {
                    let columns = [&batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf];
                    let apart = columns.map(|column| column.value(row) as u64);
                    counts.add(key, Counted::at(step, Histogram::default().with_counted_apart(apart)));
                }
            }
        }
        Ok(())
    }

    fn named(&self, options: &HistogramOptions, counts: Counts) -> Result<Vec<ScopeHistogram>, AnalysisError> {
        let manifest = self.run.manifest();
        let found = counts.found.into_iter().filter(|(_, counted)| counted.histogram.total() > 0);
        let named = found.map(|((group, quantity, _window), counted)| {
            let coarse = counted.histogram.coarsened(options.bins_per_decade);
            Ok(ScopeHistogram {
                run: manifest.run.clone(),
                scope: options.scope,
                name: self.grouping.groups(options.scope)[group].name.clone(),
                quantity: manifest.quantities[quantity as usize].clone(),
                first_step: counted.first_step,
                last_step: counted.last_step,
                histogram: coarse.map_err(|refusal| not_recorded(self.run, refusal.to_string()))?,
            })
        });
        named.collect()
    }
}

/// Counts so far.
#[derive(Default)]
struct Counts {
    found: BTreeMap<Key, Counted>,
}

/// A histogram of some steps.
struct Counted {
    first_step: i64,
    last_step: i64,
    histogram: Histogram,
}

impl Counted {
    fn at(step: i64, histogram: Histogram) -> Self {
        Self { first_step: step, last_step: step, histogram }
    }
}

impl Counts {
    /// The histogram to which to add what a step holds.
    fn at(&mut self, key: Key, step: i64) -> &mut Histogram {
        let counted = self.found.entry(key).or_insert_with(|| Counted::at(step, Histogram::default()));
        counted.first_step = counted.first_step.min(step);
        counted.last_step = counted.last_step.max(step);
        &mut counted.histogram
    }

    fn add(&mut self, key: Key, more: Counted) {
        match self.found.entry(key) {
            Entry::Vacant(place) => _ = place.insert(more),
            Entry::Occupied(mut place) => {
                let counted = place.get_mut();
                counted.first_step = counted.first_step.min(more.first_step);
                counted.last_step = counted.last_step.max(more.last_step);
                counted.histogram = std::mem::take(&mut counted.histogram).merged(&more.histogram);
            }
        }
    }

    fn merged(mut self, other: Self) -> Self {
        other.found.into_iter().for_each(|(key, more)| self.add(key, more));
        self
    }
}

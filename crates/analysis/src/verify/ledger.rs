//! What the tables say of the same step, tensor and quantity, held against each other once all of it is known.

use std::collections::{BTreeMap, BTreeSet};

use epsiloscope_format::{GRADIENT, PartEntry, Rows, Run, SourceBins, TensorBatch};
use epsiloscope_histogram::bins::bin_of;

use super::finding::{Findings, Kind};
use super::stream::Source;

/// Step, tensor, quantity, rank.
type Key = (i64, u32, u32, u32);

/// What is known of steps that are not complete yet.
pub(super) struct Ledger<'a> {
    run: &'a Run,
    entries: BTreeMap<Key, Entry<'a>>,
    /// Those that have a row in `steps`.
    steps: BTreeSet<i64>,
    /// Steps of parts that cannot be read: nothing adds up there.
    left_out: Vec<(i64, i64)>,
}

/// Of one rank.
#[derive(Default)]
struct Entry<'a> {
    summary: Option<Summary<'a>>,
    bins: Option<Bins>,
    /// Where magnitudes were recorded, and how many.
    recorded: Option<(Source<'a>, u64)>,
    source: Option<Source<'a>>,
}

/// Non-empty bins.
#[derive(Clone, Copy)]
struct Bins {
    first: i32,
    last: i32,
    count: i64,
}

/// A row of `tensors`.
#[derive(Clone, Copy)]
struct Summary<'a> {
    source: Source<'a>,
    numel: i64,
    /// Zeros, NaN and infinities.
    apart: i64,
    zeros: i64,
    min_nonzero: Option<f32>,
    max: Option<f32>,
    sum_of_squares: f64,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, entries: BTreeMap::new(), steps: BTreeSet::new(), left_out: Vec::new() }
    }

    /// Compares nothing in the steps of a part.
    pub(super) fn leave_out(&mut self, part: &PartEntry) {
        self.left_out.push((part.first_step, part.last_step));
    }

    pub(super) fn take(&mut self, source: Source<'a>, rows: &Rows) {
        match rows {
            Rows::Magnitudes(batch) => {
                for (start, end) in segments(rows.steps(), &batch.tensor, &batch.quantity) {
                    let entry = self.entry(source, (rows.steps()[start], batch.tensor[start], batch.quantity[start]));
                    entry.recorded.get_or_insert((source, 0)).1 += (end - start) as u64;
                }
            }
            Rows::Histograms(batch) => {
                for (start, end) in segments(rows.steps(), &batch.tensor, &batch.quantity) {
                    let entry = self.entry(source, (rows.steps()[start], batch.tensor[start], batch.quantity[start]));
                    entry.add_bins(&batch.bin.values()[start..end], &batch.count.values()[start..end]);
                }
            }
            Rows::Tensors(batch) => {
                for (row, &step) in rows.steps().iter().enumerate() {
                    let entry = self.entry(source, (step, batch.tensor[row], batch.quantity[row]));
                    entry.summary = Some(Summary::of(source, batch, row));
                }
            }
            Rows::Steps(_) => self.steps.extend(rows.steps()),
            Rows::Scalars(_) => {}
        }
    }

    fn entry(&mut self, source: Source<'a>, (step, tensor, quantity): (i64, u32, u32)) -> &mut Entry<'a> {
        let entry = self.entries.entry((step, tensor, quantity, source.rank)).or_default();
        entry.source.get_or_insert(source);
        entry
    }

    /// Compares what is known of the steps before this one, and forgets it.
    pub(super) fn settle(&mut self, before: i64, findings: &mut Findings) {
        let later = self.entries.split_off(&(before, 0, 0, 0));
        let settled: Vec<(Key, Entry<'a>)> = std::mem::replace(&mut self.entries, later).into_iter().collect();
        for step in settled.chunk_by(|(one, _), (next, _)| one.0 == next.0) {
            let number = step[0].0.0;
            let is_known = |&(first, last): &(i64, i64)| !(first..=last).contains(&number);
            if number <= self.run.last_step() && self.left_out.iter().all(is_known) {
                self.check_step(number, step, findings);
            }
        }
        self.steps = self.steps.split_off(&before);
    }

    fn check_step(&self, step: i64, entries: &[(Key, Entry<'a>)], findings: &mut Findings) {
        let source_bins = self.run.manifest().imported.as_ref().and_then(|imported| imported.bins);
        if let (false, Some(source)) = (self.steps.contains(&step), entries[0].1.source) {
            source
                .report(findings, Kind::NoStep, Some(step), || (format!("step {step} in steps"), "no row".to_owned()));
        }
        for ranks in entries.chunk_by(|((_, a, b, _), _), ((_, c, d, _), _)| (a, b) == (c, d)) {
            let holds_bins = self.run.manifest().histograms_hold(ranks[0].0.2 as usize);
            for (_, entry) in ranks {
                entry.check(step, holds_bins, source_bins, findings);
            }
            self.check_elements(ranks, findings);
        }
    }

    /// The elements of a tensor over all ranks, all and recorded, against the manifest.
    fn check_elements(&self, ranks: &[(Key, Entry<'a>)], findings: &mut Findings) {
        let (step, tensor, quantity, _) = ranks[0].0;
        let Some(summary) = ranks.iter().find_map(|(_, entry)| entry.summary.as_ref()) else { return };
        let tensor = &self.run.manifest().tensors[tensor as usize];
        let numel: i64 = ranks.iter().filter_map(|(_, entry)| Some(entry.summary.as_ref()?.numel)).sum();
        if numel != tensor.numel() as i64 {
            summary.source.report(findings, Kind::Numel, Some(step), || {
                (format!("{} elements of {}", tensor.numel(), tensor.name), numel.to_string())
            });
        }
        let recorded: u64 = ranks.iter().filter_map(|(_, entry)| Some(entry.recorded?.1)).sum();
        let is_gradient = self.run.manifest().quantities[quantity as usize] == GRADIENT;
        // Every value at snapshots, none between them.
        let expected = if is_gradient { tensor.recorded_elements } else { tensor.numel() };
        if recorded != expected && (is_gradient || recorded != 0) {
            let recorded_in = ranks.iter().find_map(|(_, entry)| Some(entry.recorded?.0));
            recorded_in.unwrap_or(summary.source).report(findings, Kind::Elements, Some(step), || {
                (format!("{expected} recorded elements of {}", tensor.name), recorded.to_string())
            });
        }
    }
}

impl Entry<'_> {
    fn add_bins(&mut self, bins: &[i32], counts: &[i64]) {
        let (Some(&first), Some(&last)) = (bins.iter().min(), bins.iter().max()) else { return };
        let known = self.bins.get_or_insert(Bins { first, last, count: 0 });
        known.first = known.first.min(first);
        known.last = known.last.max(last);
        known.count = counts.iter().fold(known.count, |sum, &count| sum.saturating_add(count));
    }

    fn check(&self, step: i64, holds_bins: bool, source_bins: Option<SourceBins>, findings: &mut Findings) {
        let Some(summary) = &self.summary else {
            if let Some(source) = self.source {
                let texts = || ("a row of tensors".to_owned(), "none".to_owned());
                source.report(findings, Kind::NoSummary, Some(step), texts);
            }
            return;
        };
        let mut report = |kind, texts: (String, String)| summary.source.report(findings, kind, Some(step), || texts);
        let binned = self.bins.map_or(0, |bins| bins.count);
        let nonzero = summary.numel.saturating_sub(summary.apart);
        if holds_bins && binned != nonzero {
            report(Kind::Counts, (format!("{nonzero} elements in bins"), binned.to_string()));
        } else if nonzero < 0 {
            report(Kind::Counts, (format!("{} elements", summary.numel), summary.apart.to_string()));
        }
        // What another program counted says nothing of its least magnitude, and of its greatest only where all are finite.
        let outermost = self.bins.filter(|_| holds_bins);
        let (summary, is_open) = match (source_bins, outermost) {
            (Some(source), Some(bins)) => (&summary.within(source, bins), summary.max.is_none()),
            _ => (summary, false),
        };
        if let Some(texts) = summary.wrong_extremes(outermost.filter(|_| source_bins.is_none())) {
            report(Kind::Extremes, texts);
        }
        if let Some(texts) = summary.wrong_sum_of_squares().filter(|_| !is_open) {
            report(Kind::SumOfSquares, texts);
        }
    }
}

impl<'a> Summary<'a> {
    fn of(source: Source<'a>, batch: &TensorBatch, row: usize) -> Self {
        let count = |column: &[i64]| column[row];
        let (zeros, others) = (count(batch.zeros.values()), [&batch.nan, &batch.pos_inf, &batch.neg_inf]);
        Self {
            source,
            numel: count(batch.numel.values()),
            apart: others.iter().fold(zeros, |sum, column| sum.saturating_add(count(column.values()))),
            zeros,
            min_nonzero: batch.min_nonzero.iter().nth(row).flatten(),
            max: batch.max.iter().nth(row).flatten(),
            sum_of_squares: batch.sum_of_squares.value(row),
        }
    }

    /// The same with the extremes that another program's bins allow where it does not say them.
    fn within(&self, source: SourceBins, bins: Bins) -> Self {
        let least = (source.range(bins.first).0 as f32).next_down().max(f32::from_bits(1));
        let greatest = self.max.unwrap_or(source.range(bins.last).1 as f32);
        Self { min_nonzero: self.min_nonzero.or(Some(least.min(greatest))), max: Some(greatest), ..*self }
    }

    /// Finite values other than zero.
    fn nonzero(&self) -> i64 {
        self.numel.saturating_sub(self.apart)
    }

    /// The least and the greatest magnitude must lie in the outermost bins, where those are known, and be there if and
    /// only if values are.
    fn wrong_extremes(&self, bins: Option<Bins>) -> Option<(String, String)> {
        let show = |value: Option<f32>| value.map_or("null".to_owned(), |value| format!("{value:e}"));
        let found = || format!("{} to {}", show(self.min_nonzero), show(self.max));
        match (self.min_nonzero, self.max) {
            (None, None) if self.nonzero() == 0 && self.zeros == 0 => None,
            (None, Some(max)) if self.nonzero() == 0 && 0 < self.zeros && max.to_bits() == 0 => None,
            (Some(min), Some(max)) if 0 < self.nonzero() && 0.0 < min && min <= max && max.is_finite() => {
                let outermost = bins.map(|bins| (Some(bins.first), Some(bins.last)));
                let differ = outermost.is_some_and(|outermost| outermost != (bin_of(min), bin_of(max)));
                differ.then(|| (format!("extremes of bins {outermost:?}"), found()))
            }
            _ => Some((format!("extremes of {} values and {} zeros", self.nonzero(), self.zeros), found())),
        }
    }

    /// n values from min to max, both taken: max² + (n − 1)·min² ≤ Σ ≤ n·max², but for roundings of n additions.
    fn wrong_sum_of_squares(&self) -> Option<(String, String)> {
        let square = |value: Option<f32>| f64::from(value.unwrap_or(0.0)).powi(2);
        let (n, least, greatest) = (self.nonzero().max(0) as f64, square(self.min_nonzero), square(self.max));
        let slack = 2.0 * n * f64::EPSILON;
        let low = (greatest + (n - 1.0).max(0.0) * least).min(n * greatest) * (1.0 - slack);
        let high = n * greatest * (1.0 + slack);
        let holds = low <= self.sum_of_squares && self.sum_of_squares <= high;
        (!holds).then(|| (format!("a sum of squares from {low:e} to {high:e}"), format!("{:e}", self.sum_of_squares)))
    }
}

/// Rows with the same step, tensor and quantity, as first row and the one after the last.
fn segments(steps: &[i64], tensors: &[u32], quantities: &[u32]) -> Vec<(usize, usize)> {
    let key = |row: usize| (steps[row], tensors[row], quantities[row]);
    let starts = (0..steps.len()).filter(|&row| row == 0 || key(row - 1) != key(row));
    let mut segments: Vec<(usize, usize)> = starts.map(|start| (start, steps.len())).collect();
    for index in 1..segments.len() {
        segments[index - 1].1 = segments[index].0;
    }
    segments
}

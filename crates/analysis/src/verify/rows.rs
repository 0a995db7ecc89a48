//! Rows by themselves: their keys, and values that cannot be.

use epsiloscope_format::{HistogramBatch, MagnitudeBatch, Rows, Run, TensorBatch};
use epsiloscope_histogram::bins::{MAX_BIN, MIN_BIN};

use super::finding::{Findings, Kind};
use super::stream::Source;

/// What rows are sorted by: step, tensor, quantity, element or bin; tables that lack some have 0 there.
pub(super) type Key = [i64; 4];

/// The key of each row.
pub(super) fn keys(rows: &Rows) -> Box<dyn Iterator<Item = Key> + '_> {
    let steps = rows.steps();
    match rows {
        Rows::Magnitudes(MagnitudeBatch { tensor, quantity, element, .. }) => Box::new(
            (0..steps.len()).map(|row| [steps[row], tensor[row].into(), quantity[row].into(), element.value(row)]),
        ),
        Rows::Histograms(HistogramBatch { tensor, quantity, bin, .. }) => Box::new(
            (0..steps.len()).map(|row| [steps[row], tensor[row].into(), quantity[row].into(), bin.value(row).into()]),
        ),
        Rows::Tensors(batch) => {
            Box::new((0..steps.len()).map(|row| [steps[row], batch.tensor[row].into(), batch.quantity[row].into(), 0]))
        }
        Rows::Scalars(_) | Rows::Steps(_) => Box::new(steps.iter().map(|&step| [step, 0, 0, 0])),
    }
}

/// Looks for values that cannot be, each row by itself.
pub(super) fn check_values(run: &Run, source: Source<'_>, rows: &Rows, findings: &mut Findings) {
    let steps = rows.steps();
    let mut refuse = |row: usize, expected: &str, found: String| {
        source.report(findings, Kind::Range, Some(steps[row]), || (expected.to_owned(), found));
    };
    if let Some(row) = steps.iter().position(|&step| step < 1) {
        refuse(row, "steps from 1", format!("step {}", steps[row]));
    }
    match rows {
        Rows::Magnitudes(batch) => magnitudes(run, batch, &mut refuse),
        Rows::Histograms(batch) => histograms(batch, &mut refuse),
        Rows::Tensors(batch) => tensors(batch, &mut refuse),
        Rows::Scalars(_) | Rows::Steps(_) => {}
    }
}

fn magnitudes(run: &Run, batch: &MagnitudeBatch, refuse: &mut impl FnMut(usize, &str, String)) {
    let numel: Vec<i64> = run.manifest().tensors.iter().map(|tensor| tensor.numel() as i64).collect();
    for (row, &magnitude) in batch.magnitude.iter().enumerate() {
        if magnitude.is_sign_negative() && !magnitude.is_nan() {
            refuse(row, "a magnitude", format!("{magnitude:?}"));
        }
        let (element, end) = (batch.element.value(row), numel[batch.tensor[row] as usize]);
        if !(0..end).contains(&element) {
            refuse(row, &format!("elements 0 to {}", end - 1), format!("element {element}"));
        }
    }
}

fn histograms(batch: &HistogramBatch, refuse: &mut impl FnMut(usize, &str, String)) {
    for (row, (&bin, &count)) in batch.bin.values().iter().zip(batch.count.values()).enumerate() {
        if !(MIN_BIN..=MAX_BIN).contains(&bin) {
            refuse(row, &format!("bins {MIN_BIN} to {MAX_BIN}"), format!("bin {bin}"));
        }
        if count < 1 {
            refuse(row, "counts above 0", format!("count {count}"));
        }
    }
}

fn tensors(batch: &TensorBatch, refuse: &mut impl FnMut(usize, &str, String)) {
    for counts in [&batch.numel, &batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf] {
        if let Some((row, count)) = counts.values().iter().enumerate().find(|&(_, &count)| count < 0) {
            refuse(row, "counts from 0", format!("count {count}"));
        }
    }
}

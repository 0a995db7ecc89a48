//! Gradient magnitude histograms as a table.
//!
//! | column | meaning |
//! |---|---|
//! | `run` | the run's name |
//! | `tensor` | the tensor, null for all tensors of the run together |
//! | `quantity` | what the magnitudes are of |
//! | `first_step`, `last_step` | the steps whose counts were added |
//! | `bin`, `lower`, `upper` | the bin, its edges: `lower <= magnitude < upper` |
//! | `count` | elements in the bin, over all steps |
//! | `density` | probability density per decade over the non-zero finite magnitudes: count · 40 / Σ count |

use std::collections::BTreeMap;

use epsiloscope_format::{HistogramBatch, Run};
use epsiloscope_histogram::{BINS_PER_DECADE, Counter, Histogram, bins};
use polars::prelude::*;

use crate::error::AnalysisError;
use crate::replay::{not_recorded, segments};

/// What a histogram is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each tensor apart.
    Tensor,
    /// All tensors of the run together.
    Run,
}

/// Which table of the run is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `histograms`: every element, binned while recording.
    Histograms,
    /// `magnitudes`: the recorded elements, binned now.
    Magnitudes,
}

/// The histograms of a run, over all its steps, sorted by tensor, quantity and bin.
///
/// Where `origin` is not given, `histograms` is read if the run has it, `magnitudes` if not. Both give the same
/// counts where both cover every element.
///
/// # Errors
/// [`AnalysisError::NotRecorded`] if the run does not hold the table; [`AnalysisError::Format`] if a file cannot be
/// read.
pub fn histograms(run: &Run, scope: Scope, origin: Option<Origin>) -> Result<DataFrame, AnalysisError> {
    let origin = origin.unwrap_or(if run.manifest().histograms { Origin::Histograms } else { Origin::Magnitudes });
    let counts = match origin {
        Origin::Histograms => recorded_counts(run)?,
        Origin::Magnitudes => counted_magnitudes(run)?,
    };
    if counts.is_empty() {
        return Err(not_recorded(run, "no histogram and no magnitude was recorded: expected either".to_owned()));
    }
    let table = concat(counts, UnionArgs::default()).and_then(|counts| finished_table(run, scope, counts));
    table.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// Counts of each batch of `histograms`, steps added up, so that memory does not grow with the number of steps.
fn recorded_counts(run: &Run) -> Result<Vec<LazyFrame>, AnalysisError> {
    let mut frames = Vec::new();
    for batch in run.histograms() {
        let batch = batch?;
        let added = batch_frame(&batch).and_then(|frame| added_over_steps(frame.lazy()).collect());
        let added = added.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })?;
        frames.push(added.lazy());
    }
    Ok(frames)
}

fn batch_frame(batch: &HistogramBatch) -> PolarsResult<DataFrame> {
    df![
        "tensor" => &batch.tensor,
        "quantity" => &batch.quantity,
        "first_step" => batch.step.values().as_ref(),
        "last_step" => batch.step.values().as_ref(),
        "bin" => batch.bin.values().as_ref(),
        "count" => batch.count.values().as_ref(),
    ]
}

/// Counts the magnitudes of each tensor and quantity with the histogram kernel.
fn counted_magnitudes(run: &Run) -> Result<Vec<LazyFrame>, AnalysisError> {
    let mut counter = Counter::new();
    let mut found: BTreeMap<(u32, u32), (Histogram, i64, i64)> = BTreeMap::new();
    for batch in run.magnitudes() {
        let batch = batch?;
        for segment in segments(&batch) {
            let step = batch.step.value(segment.start);
            let key = (batch.tensor[segment.start], batch.quantity[segment.start]);
            counter.count(&batch.magnitude[segment]);
            let entry = found.entry(key).or_insert_with(|| (Histogram::default(), step, step));
            let before = std::mem::take(&mut entry.0);
            *entry = (before.merged(&counter.take()), entry.1.min(step), entry.2.max(step));
        }
    }
    let frame = |(&(tensor, quantity), (histogram, first, last)): (&(u32, u32), &(Histogram, i64, i64))| {
        let (bins, counts): (Vec<i32>, Vec<i64>) = histogram.bins().map(|(bin, count)| (bin, count as i64)).unzip();
        let frame = df![
            "tensor" => vec![tensor; bins.len()],
            "quantity" => vec![quantity; bins.len()],
            "first_step" => vec![*first; bins.len()],
            "last_step" => vec![*last; bins.len()],
            "bin" => bins,
            "count" => counts,
        ];
        frame.map(DataFrame::lazy)
    };
    let frames: PolarsResult<Vec<LazyFrame>> = found.iter().map(frame).collect();
    frames.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

fn added_over_steps(counts: LazyFrame) -> LazyFrame {
    counts.group_by([col("tensor"), col("quantity"), col("bin")]).agg([
        col("first_step").min(),
        col("last_step").max(),
        col("count").sum(),
    ])
}

fn finished_table(run: &Run, scope: Scope, counts: LazyFrame) -> PolarsResult<DataFrame> {
    let counts = match scope {
        Scope::Tensor => counts,
        Scope::Run => counts.with_column(lit(NULL).cast(DataType::UInt32).alias("tensor")),
    };
    let key = || [col("tensor"), col("quantity")];
    let total = col("count").sum().over(key())?;
    let per_decade = lit(f64::from(BINS_PER_DECADE));
    let table = added_over_steps(counts)
        .with_columns([
            col("first_step").min().over(key())?,
            col("last_step").max().over(key())?,
            (col("count").cast(DataType::Float64) * per_decade / total).alias("density"),
        ])
        .sort(["tensor", "quantity", "bin"], SortMultipleOptions::default())
        .collect()?;
    with_names_and_edges(run, table)
}

/// Gives bins their edges, and everything its name.
fn with_names_and_edges(run: &Run, mut table: DataFrame) -> PolarsResult<DataFrame> {
    for (name, offset) in [("lower", 0), ("upper", 1)] {
        let edge = |bin: Option<i32>| bin.map(|bin| bins::lower_edge(bin + offset, BINS_PER_DECADE));
        let edges: Float64Chunked = table.column("bin")?.i32()?.iter().map(edge).collect();
        table.with_column(edges.with_name(name.into()).into_column())?;
    }
    with_names(run, table)?.select([
        "run",
        "tensor",
        "quantity",
        "first_step",
        "last_step",
        "bin",
        "lower",
        "upper",
        "count",
        "density",
    ])
}

/// Replaces indices into the manifest by names, and adds the run's.
pub(crate) fn with_names(run: &Run, mut table: DataFrame) -> PolarsResult<DataFrame> {
    let manifest = run.manifest();
    let tensors = names(&table, "tensor", |index| &manifest.tensors[index].name)?;
    let quantities = names(&table, "quantity", |index| &manifest.quantities[index])?;
    let run = StringChunked::full("run".into(), &manifest.run, table.height()).into_column();
    for column in [run, tensors, quantities] {
        table.with_column(column)?;
    }
    Ok(table)
}

fn names<'a>(table: &DataFrame, column: &str, name: impl Fn(usize) -> &'a String) -> PolarsResult<Column> {
    let indices = table.column(column)?.u32()?;
    let names: StringChunked = indices.iter().map(|index| index.map(|index| name(index as usize).as_str())).collect();
    Ok(names.with_name(column.into()).into_column())
}

//! What a run holds: files and their sizes, the health of each tensor, the scalars of each step.

use epsiloscope_format::{Run, Table, TensorBatch};
use polars::prelude::*;

use crate::error::AnalysisError;
use crate::grouping::{Grouping, layer};
use crate::replay::not_recorded;

/// One row per table of the run: its part files, rows, bytes and steps.
///
/// # Errors
/// [`AnalysisError::Table`] if polars refuses the frame.
pub fn files(run: &Run) -> Result<DataFrame, AnalysisError> {
    let sum = |value: fn(&epsiloscope_format::PartEntry) -> u64| -> Vec<i64> {
        Table::ALL.iter().map(|&table| run.parts(table).map(value).sum::<u64>() as i64).collect()
    };
    let frame = df![
        "run" => vec![run.manifest().run.as_str(); Table::ALL.len()],
        "table" => Table::ALL.map(Table::name),
        "parts" => sum(|_| 1),
        "rows" => sum(|part| part.rows),
        "bytes" => sum(|part| part.bytes),
        "first_step" => Table::ALL.map(|table| run.parts(table).map(|part| part.first_step).min()),
        "last_step" => Table::ALL.map(|table| run.parts(table).map(|part| part.last_step).max()),
    ];
    frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// One row per tensor and quantity, over all steps: how many elements were zero, not a number or infinite, and how
/// large the rest were.
///
/// `rms` is the root mean square over all finite elements of all steps.
///
/// # Errors
/// [`AnalysisError::Format`] if a file cannot be read.
pub fn tensor_health(run: &Run) -> Result<DataFrame, AnalysisError> {
    if run.parts(Table::Tensors).next().is_none() {
        return Err(not_recorded(run, "no tensor had a gradient at any step".to_owned()));
    }
    let frames = run.tensors().map(|batch| Ok(batch_frame(&batch?))).collect::<Result<Vec<_>, AnalysisError>>()?;
    let frames = frames.into_iter().map(|frame| frame.map(DataFrame::lazy)).collect::<PolarsResult<Vec<_>>>();
    let health = frames.and_then(|frames| health(run, concat(frames, UnionArgs::default())?));
    health.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// [`tensor_health`] with the layer and the kind of each tensor beside its name.
///
/// # Errors
/// As [`tensor_health`].
pub fn tensor_table(run: &Run) -> Result<DataFrame, AnalysisError> {
    let tensors = &run.manifest().tensors;
    let grouping = Grouping::of(tensors);
    let kinds: Vec<&str> = (0..tensors.len()).map(|tensor| grouping.kind(tensor).name()).collect();
    let groups = df![
        "tensor" => tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(),
        "layer" => tensors.iter().map(|tensor| layer(&tensor.name)).collect::<Vec<_>>(),
        "kind" => kinds,
    ];
    let health = tensor_health(run)?;
    let [run_and_tensor, rest] = [&health.get_column_names_owned()[..2], &health.get_column_names_owned()[2..]]
        .map(|names| names.iter().map(|name| col(name.clone())).collect::<Vec<_>>());
    let order = [run_and_tensor, vec![col("layer"), col("kind")], rest].concat();
    let table = groups.and_then(|groups| {
        let key = col("tensor");
        health.lazy().left_join(groups.lazy(), key.clone(), key).select(order).collect()
    });
    table.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// One row per step: epoch, time (RFC 3339), loss, learning rate, loss scale, and whether scaled gradients overflowed.
///
/// # Errors
/// [`AnalysisError::Format`] if a file cannot be read.
pub fn steps(run: &Run) -> Result<DataFrame, AnalysisError> {
    let (mut step, mut epoch, mut time) = (Vec::new(), Vec::new(), Vec::new());
    let (mut loss, mut learning_rate, mut loss_scale) = (Vec::new(), Vec::new(), Vec::new());
    let mut overflow = Vec::new();
    for batch in run.steps() {
        let batch = batch?;
        step.extend_from_slice(batch.step.values());
        epoch.extend(&batch.epoch);
        time.extend((0..batch.step.len()).map(|row| Some(batch.time.value_as_datetime(row)?.and_utc().to_rfc3339())));
        loss.extend(&batch.loss);
        learning_rate.extend(&batch.learning_rate);
        loss_scale.extend(&batch.loss_scale);
        overflow.extend(&batch.overflow);
    }
    let frame = df![
        "run" => vec![run.manifest().run.as_str(); step.len()],
        "step" => step,
        "epoch" => epoch,
        "time" => time,
        "loss" => loss,
        "learning_rate" => learning_rate,
        "loss_scale" => loss_scale,
        "overflow" => overflow,
    ];
    frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

/// One row per step and scalar of the user's own, by step.
///
/// # Errors
/// [`AnalysisError::Format`] if a file cannot be read.
pub fn scalars(run: &Run) -> Result<DataFrame, AnalysisError> {
    let (mut step, mut name, mut value) = (Vec::new(), Vec::new(), Vec::new());
    for batch in run.scalars() {
        let batch = batch?;
        step.extend_from_slice(batch.step.values());
        name.extend(batch.name);
        value.extend(&batch.value);
    }
    let run_name = vec![run.manifest().run.as_str(); step.len()];
    // Each rank's rows come in order of steps.
    let in_order = SortMultipleOptions::default().with_maintain_order(true);
    let frame = df!["run" => run_name, "step" => step, "name" => name, "value" => value]
        .and_then(|frame| frame.sort(["step"], in_order));
    frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

fn batch_frame(batch: &TensorBatch) -> PolarsResult<DataFrame> {
    df![
        "tensor" => &batch.tensor,
        "quantity" => &batch.quantity,
        "step" => batch.step.values().as_ref(),
        "numel" => batch.numel.values().as_ref(),
        "zeros" => batch.zeros.values().as_ref(),
        "nan" => batch.nan.values().as_ref(),
        "pos_inf" => batch.pos_inf.values().as_ref(),
        "neg_inf" => batch.neg_inf.values().as_ref(),
        "min_nonzero" => batch.min_nonzero.iter().collect::<Vec<Option<f32>>>(),
        "max" => batch.max.iter().collect::<Vec<Option<f32>>>(),
        "sum_of_squares" => batch.sum_of_squares.values().as_ref(),
    ]
}

/// The rows of the ranks that each saw a shard of a tensor, added.
fn whole_tensors(shards: LazyFrame) -> PolarsResult<LazyFrame> {
    let added = ["numel", "zeros", "nan", "pos_inf", "neg_inf", "sum_of_squares"].map(|name| col(name).sum());
    let whole = shards
        .group_by_stable([col("tensor"), col("quantity"), col("step")])
        .agg([&added[..], &[col("min_nonzero").min(), col("max").max()]].concat());
    // Floats are added in the order of rows; polars lets go of it in the middle of a query, but not in its result.
    Ok(whole.collect()?.lazy())
}

fn health(run: &Run, rows: LazyFrame) -> PolarsResult<DataFrame> {
    let infinite = col("pos_inf") + col("neg_inf");
    let finite = (col("numel").sum() - col("nan").sum() - infinite.clone().sum()).cast(DataType::Float64);
    let mean_square = col("sum_of_squares").sum() / finite.clone();
    let table = whole_tensors(rows)?
        .group_by_stable([col("tensor"), col("quantity")])
        .agg([
            col("step").n_unique().cast(DataType::Int64).alias("steps"),
            col("numel").max(),
            (col("zeros").sum().cast(DataType::Float64) / col("numel").sum()).alias("zero_share"),
            col("nan").sum(),
            infinite.sum().alias("infinite"),
            col("min_nonzero").min(),
            col("max").max(),
            // Null, not NaN, where no element of any step is finite.
            when(finite.gt(lit(0.0))).then(mean_square.sqrt()).otherwise(lit(NULL)).alias("rms"),
        ])
        .collect()?
        .sort(["tensor", "quantity"], SortMultipleOptions::default())?;
    with_names(run, table)?.select([
        "run",
        "tensor",
        "quantity",
        "steps",
        "numel",
        "zero_share",
        "nan",
        "infinite",
        "min_nonzero",
        "max",
        "rms",
    ])
}

/// Replaces indices into the manifest by names, and adds the run's.
fn with_names(run: &Run, mut table: DataFrame) -> PolarsResult<DataFrame> {
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

//! Where rows come from: a part of a run, a file of a data set, something computed of a run on demand.

use std::sync::Arc;

use epsiloscope_analysis::estimate_tables::estimate_table;
use epsiloscope_analysis::runs::run_row;
use epsiloscope_analysis::{EstimateOptions, estimate};
use epsiloscope_dataset::{Stored, StoredTable};
use epsiloscope_format::{PartEntry, Run};
use epsiloscope_report::{frame, stacked};
use polars::prelude::{AnyValue, Column, DataFrame, DataType, PolarsResult, Scalar, Schema};

use crate::error::QueryError;

/// Some rows of a table, and whose they are.
pub(crate) struct Source {
    /// The run they are of, by its place; none if they are of no run.
    pub(crate) owner: Option<usize>,
    /// How many rows, as far as that is known.
    pub(crate) n_rows: u64,
    pub(crate) rows: Rows,
}

pub(crate) enum Rows {
    /// A listed part of a run.
    Part { run: Arc<Run>, rank: usize, entry: PartEntry },
    /// What a run is.
    Run(Arc<Run>),
    /// Its bounds of ε.
    Estimates(Arc<Run>, Arc<EstimateOptions>),
    /// A file of a data set.
    Stored(Arc<Stored>, StoredTable),
    /// Known beforehand.
    Frame(DataFrame),
}

impl Source {
    /// The rows, with the columns of `schema` that are named, in the order of the names.
    pub(crate) fn read(&self, schema: &Schema, names: &[&str]) -> Result<DataFrame, QueryError> {
        let frame = match &self.rows {
            Rows::Part { run, rank, entry } => {
                let rows = stacked(run.part(*rank, entry).rows(names)?.iter().map(frame))?;
                with_run(rows.unwrap_or_else(|| DataFrame::empty_with_schema(schema)), &run.manifest().run)?
            }
            Rows::Run(run) => run_row(run)?,
            Rows::Estimates(run, options) => estimate_table(&estimate(run, options)?)?,
            Rows::Stored(stored, table) => {
                let rows = stored.read(table)?;
                match &table.run {
                    Some(run) => with_run(rows, run)?,
                    None => rows,
                }
            }
            Rows::Frame(frame) => frame.clone(),
        };
        Ok(frame.select(names.iter().copied())?)
    }
}

fn with_run(mut rows: DataFrame, run: &str) -> PolarsResult<DataFrame> {
    let name = Scalar::new(DataType::String, AnyValue::StringOwned(run.into()));
    rows.with_column(Column::new_scalar("run".into(), name, rows.height()))?;
    Ok(rows)
}

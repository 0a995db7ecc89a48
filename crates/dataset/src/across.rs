//! Tables about several runs at once, from what is stored of each.

use epsiloscope_analysis::drift::drift_table;
use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_analysis::spread::spread_table;
use epsiloscope_analysis::{BoundsAt, bounds_along, drift, spread};
use polars::prelude::*;

use crate::error::DataSetError;
use crate::results::Options;
use crate::state::State;
use crate::update::DataSet;

impl DataSet {
    /// Writes `drift` and `spread` over the runs named, from their stored estimates, and `faults`, a line each.
    ///
    /// # Errors
    /// [`DataSetError::Damaged`] if a stored table is not what was written there; [`DataSetError::Io`].
    pub fn compare(&self, runs: &[String], faults: &[String], options: &Options) -> Result<(), DataSetError> {
        let mut bounds: Vec<BoundsAt> = Vec::new();
        for run in runs {
            bounds.extend(self.bounds(run)?);
        }
        let estimate = &options.candidates.estimate;
        let frames = [
            (ResultTable::Drift, drift_table(&drift(&bounds))),
            (ResultTable::Spread, spread_table(&spread(&bounds, estimate.confidence, estimate.seed))),
            (ResultTable::Faults, df!["fault" => faults]),
        ];
        for (table, frame) in frames {
            let frame = frame.map_err(|source| DataSetError::Table { table: table.name(), source })?;
            self.layout.write_whole(table, &frame)?;
        }
        Ok(())
    }

    /// The bounds of a run as a whole, from its stored estimates; none if it has no estimates.
    fn bounds(&self, run: &str) -> Result<Vec<BoundsAt>, DataSetError> {
        let Some(state) = State::read(&self.layout, run) else { return Ok(Vec::new()) };
        let table = |table: ResultTable| state.tables.iter().find(|written| written.table == table.name());
        let (Some(estimates), Some(row)) = (table(ResultTable::Estimates), table(ResultTable::Runs)) else {
            return Ok(Vec::new());
        };
        let (estimates, row) = (self.layout.read(run, estimates)?, self.layout.read(run, row)?);
        let along = with_keys(estimates, &row, run).and_then(|along| bounds_along(&along));
        along.map_err(|source| DataSetError::Table { table: ResultTable::Estimates.name(), source })
    }
}

/// Estimates of the run as a whole, with what else tells runs apart.
fn with_keys(estimates: DataFrame, row: &DataFrame, run: &str) -> PolarsResult<DataFrame> {
    let key = |name: &str| -> PolarsResult<Expr> {
        let value = row.column(name)?.str()?.get(0);
        Ok(value.map_or_else(|| lit(NULL).cast(DataType::String), lit).alias(name))
    };
    let keys = [lit(run).alias("run"), key("task")?, key("configuration")?, key("seed")?];
    estimates.lazy().filter(col("scope").eq(lit("run"))).with_columns(keys).collect()
}

//! The tables as views of DuckDB's: the same files, the same rows.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use epsiloscope_format::Run;
use polars::prelude::{DataFrame, DataType};

use crate::database::{Database, NamedTable};
use crate::error::QueryError;
use crate::literal;
use crate::source::{Rows, Source};

impl Database {
    /// `CREATE VIEW` statements that give the tables in DuckDB, but for `estimates` of runs, which a data set has.
    ///
    /// Rows are those of the runs as they are now; what is recorded, compacted or analysed later takes new views.
    ///
    /// # Errors
    /// [`QueryError`] if a run cannot be read.
    pub fn duckdb_views(&self) -> Result<String, QueryError> {
        let mut views = String::new();
        for table in &self.tables {
            if let Some(select) = select(table)? {
                // Writing to a string does not fail.
                let _ = writeln!(views, "CREATE OR REPLACE VIEW {} AS\n{select};", table.name);
            }
        }
        Ok(views)
    }
}

/// The rows of a table; none if no file has them.
fn select(table: &NamedTable) -> Result<Option<String>, QueryError> {
    let mut selects: Vec<String> = Vec::new();
    for group in table.sources.chunk_by(|a, b| a.owner == b.owner) {
        match &group[0].rows {
            Rows::Estimates(..) => return Ok(None),
            Rows::Part { run, .. } => selects.push(of_parts(run, group)),
            Rows::Stored(stored, file) => {
                let path = literal::path(&absolute(&stored.path(file)));
                let run = file.run.as_ref().map(|run| format!("{} AS run, ", literal::text(run)));
                let run = run.unwrap_or_default();
                selects.push(format!("SELECT {run}* FROM read_parquet({path}, hive_partitioning = false)"));
            }
            Rows::Run(_) | Rows::Frame(_) => {
                let names: Vec<&str> = table.schema.iter_names().map(AsRef::as_ref).collect();
                selects.push(values(&group[0].read(&table.schema, &names)?));
            }
        }
    }
    Ok(Some(if selects.is_empty() { empty(table) } else { selects.join("\nUNION ALL\n") }))
}

fn of_parts(run: &Run, sources: &[std::sync::Arc<Source>]) -> String {
    let paths = sources.iter().filter_map(|source| match &source.rows {
        Rows::Part { entry, .. } => Some(literal::path(&absolute(&run.part_path(entry)))),
        _ => None,
    });
    let paths = paths.collect::<Vec<_>>().join(", ");
    let (name, last) = (literal::text(&run.manifest().run), run.last_step());
    format!("SELECT {name} AS run, * FROM read_parquet([{paths}], hive_partitioning = false) WHERE step <= {last}")
}

/// A URL stays as it is.
fn absolute(path: &Path) -> PathBuf {
    if path.to_string_lossy().contains("://") {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_unknown| path.to_owned())
}

/// Rows spelled out.
fn values(frame: &DataFrame) -> String {
    let row = |index: usize| {
        let cells = frame
            .columns()
            .iter()
            .map(|column| column.get(index).map_or_else(|_| "NULL".to_owned(), |cell| literal::value(&cell)));
        format!("({})", cells.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..frame.height()).map(row).collect();
    let columns = frame.columns().iter().enumerate();
    let columns =
        columns.map(|(index, column)| format!("col{index}::{} AS {}", sql_type(column.dtype()), column.name()));
    format!("SELECT {} FROM (VALUES {})", columns.collect::<Vec<_>>().join(", "), rows.join(", "))
}

/// No rows, of the right columns.
fn empty(table: &NamedTable) -> String {
    let columns = table.schema.iter().map(|(name, kind)| format!("NULL::{} AS {name}", sql_type(kind)));
    format!("SELECT {} WHERE false", columns.collect::<Vec<_>>().join(", "))
}

/// What SQL calls a type.
pub(crate) fn sql_type(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "BOOLEAN",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Datetime(..) => "TIMESTAMPTZ",
        _text => "VARCHAR",
    }
}

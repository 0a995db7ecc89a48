//! `epsiloscope schema`

use std::process::ExitCode;

use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_format::Table;
use polars::prelude::{DataFrame, PolarsResult, df};

use crate::args::FormatArg;
use crate::output;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope schema
  epsiloscope schema --format json | jq '.[] | select(.table == \"estimates\")'
")]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    format: FormatArg,
}

/// Where a table stands.
const RUN: &str = "run directory";
const DATA_SET: &str = "data set";

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    output::print(&columns()?, args.format.format)?;
    Ok(ExitCode::SUCCESS)
}

/// One row per column of any table.
fn columns() -> PolarsResult<DataFrame> {
    let mut rows: Vec<(&str, &str, &str, String, bool, &str)> = Vec::new();
    for table in Table::ALL {
        let row = |of: epsiloscope_format::schema::Column| {
            (RUN, table.name(), of.name, type_name(&of.data_type.to_string()).to_owned(), of.nullable, of.meaning)
        };
        rows.extend(table.columns().into_iter().map(row));
    }
    for table in ResultTable::ALL {
        let row = |of: epsiloscope_analysis::schema::Column| {
            (DATA_SET, table.name(), of.name, type_name(&of.data_type.to_string()).to_owned(), of.nullable, of.meaning)
        };
        rows.extend(table.columns().into_iter().map(row));
    }
    df![
        "of" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
        "table" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
        "column" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
        "type" => rows.iter().map(|row| row.3.as_str()).collect::<Vec<_>>(),
        "nullable" => rows.iter().map(|row| row.4).collect::<Vec<_>>(),
        "meaning" => rows.iter().map(|row| row.5).collect::<Vec<_>>(),
    ]
}

/// What Parquet calls a type of Arrow's or of polars'.
fn type_name(name: &str) -> &str {
    match name {
        "Int32" | "i32" => "INT32",
        "Int64" | "i64" => "INT64",
        "Float32" | "f32" => "FLOAT",
        "Float64" | "f64" => "DOUBLE",
        "Utf8" | "str" => "UTF8",
        "Boolean" | "bool" => "BOOLEAN",
        timestamp if timestamp.starts_with("Timestamp") => "TIMESTAMP(MICROS, UTC)",
        other => other,
    }
}

//! Why a statement could not be answered.

use epsiloscope_analysis::AnalysisError;
use epsiloscope_dataset::DataSetError;
use epsiloscope_format::FormatError;
use epsiloscope_report::OutputError;
use polars::error::PolarsError;

/// What is wrong with a statement or with what it is asked of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It is not SQL.
    #[error("cannot parse the statement: {reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },

    /// It would change something. Ask another program to write files; `--format parquet` makes some to start with.
    #[error("{statement} is refused: tables can only be read, by SELECT or WITH")]
    Writes {
        /// Its first word.
        statement: String,
    },

    /// The engine cannot answer it: an unknown table or column, types that do not fit.
    #[error("{reason}; {hint}")]
    Engine {
        /// What polars says.
        reason: String,
        /// Which tables and columns there are.
        hint: String,
    },

    /// It asks for more rows at a time than fit. Aggregate, filter, or name fewer columns.
    #[error(
        "the rows of {table} that this needs at a time take more than {} MiB: expected fewer columns, a WHERE, \
         aggregates that can be taken part by part, or more --memory", bytes >> 20
    )]
    TooLarge {
        /// The table.
        table: &'static str,
        /// How much is allowed.
        bytes: usize,
    },

    /// A value that no result holds.
    #[error("column {column} of the result is of type {kind}: expected numbers, text, truth or times")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },

    /// A run cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// A run cannot be analysed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),

    /// A data set cannot be read.
    #[error(transparent)]
    DataSet(#[from] DataSetError),

    /// Columns that no table has.
    #[error("cannot convert rows")]
    Rows(#[from] PolarsError),

    /// A result that cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// What polars says, without its lists and its advice about another language.
pub(crate) fn reason(message: &str) -> String {
    let message = one_line(message);
    if let Some(name) = message.split("duplicate output name '").nth(1).and_then(|rest| rest.split('\'').next()) {
        return format!("two columns of the result are called {name}: expected a name of its own for each, by AS");
    }
    message.split("; valid columns: ").next().unwrap_or_default().to_owned()
}

/// The first paragraph of a message, on one line.
pub(crate) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

//! SQL over recorded runs or a data set of results, read-only, by polars' SQL engine.
//!
//! - [`Database`]: the tables of some runs, or of a data set; answers statements.
//! - Rows are those that `format::Run` reads: of listed parts that match their digests, up to the last complete step. Polars
//!   never opens a file.
//! - Only tables that a statement names are read, and of these only the columns that it names.
//! - Counts, sums, means, extremes, distinct rows and the first rows in an order are taken part by part (`fold`), so that
//!   memory does not grow with the rows that they are of. What cannot be is refused once it takes more memory than allowed.
//! - [`Database::duckdb_views`]: the same tables as views for DuckDB.
//!
//! # What SQL gives here
//!
//! Sums of integers are exact or an error, sums of `FLOAT` columns are `DOUBLE`. Elsewhere, in windows and after joins, polars
//! adds 64-bit integers without looking at their carry. Rows come in the order of runs, ranks and steps, groups in the order
//! of their first rows, whatever the number of threads.
//!
//! This crate knows no command line and writes nothing.

mod database;
mod duckdb;
mod error;
mod fold;
mod literal;
mod partial;
mod plan;
mod result_types;
mod row_local;
mod scan;
mod source;
mod statement;

pub use database::{Answer, Database};
pub use error::QueryError;
pub use statement::needs_no_run;

//! The bytes of a part file to rows.
//!
//! Nothing is decoded before [`footer_guard`] has looked the file through, and a panic of the Parquet library is a
//! fault of this one file.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::file::metadata::ParquetMetaData;

use crate::error::FormatError;
use crate::footer_guard;
use crate::parts::PartEntry;
use crate::schema::Table;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1 << 16;

/// The rows of a listed part, all columns or those named, after checking its metadata, columns and number of rows; its
/// digest was checked before.
///
/// # Errors
/// [`FormatError`], naming `path`.
pub(crate) fn decode_part(
    part: &PartEntry,
    columns: Option<&[&str]>,
    path: &Path,
    bytes: &Bytes,
) -> Result<Vec<RecordBatch>, FormatError> {
    contained(path, || {
        let metadata = open(part, path, bytes)?;
        let parquet = |source| FormatError::Parquet { path: path.to_owned(), source };
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(part.table.arrow_schema());
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(parquet)?;
        let schema = metadata.metadata().file_metadata().schema_descr();
        let of_columns = |columns: &[&str]| ProjectionMask::columns(schema, columns.iter().copied());
        let projection = columns.map_or_else(ProjectionMask::all, of_columns);
        let mut batches = Vec::new();
        // One by one: dictionaries of two row groups in one batch would be spelled out row by row.
        for group in 0..metadata.metadata().num_row_groups() {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone());
            let reader = builder
                .with_row_groups(vec![group])
                .with_projection(projection.clone())
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(parquet)?;
            let decoded: Result<Vec<RecordBatch>, ArrowError> = reader.collect();
            batches.extend(decoded.map_err(|source| content(path, source.to_string()))?);
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        check_rows(part, path, rows as u64, " decoded")?;
        Ok(batches)
    })
}

/// Whether a part that was just encoded is one that [`decode_part`] takes. Its values are not decoded.
///
/// # Errors
/// As for [`decode_part`].
pub(crate) fn check_part(part: &PartEntry, path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    contained(path, || open(part, path, bytes).map(|_metadata| ()))
}

/// What a part's footer says, if it is one of its table.
///
/// # Errors
/// [`FormatError`], naming `path`.
pub(crate) fn open(part: &PartEntry, path: &Path, bytes: &[u8]) -> Result<ParquetMetaData, FormatError> {
    let metadata = footer_guard::metadata(bytes, footer_guard::PART).map_err(|refusal| refusal.at(path))?;
    let found = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None);
    let found = found.map_err(|source| FormatError::Parquet { path: path.to_owned(), source })?;
    check_columns(part.table, path, &found)?;
    check_rows(part, path, metadata.file_metadata().num_rows() as u64, "")?;
    Ok(metadata)
}

pub(crate) fn check_rows(part: &PartEntry, path: &Path, rows: u64, how: &str) -> Result<(), FormatError> {
    if rows == part.rows {
        return Ok(());
    }
    Err(content(path, format!("{rows} rows{how}: expected {}, as listed", part.rows)))
}

/// Columns are those of the table, in order, no less and no more.
fn check_columns(table: Table, path: &Path, found: &Schema) -> Result<(), FormatError> {
    let fault = |column: &str, expected: String, found: String| {
        Err(FormatError::Column { path: path.to_owned(), column: column.to_owned(), expected, found })
    };
    let columns = table.columns();
    for (index, column) in columns.iter().enumerate() {
        let expected = column.data_type.to_string();
        let field = found.fields().get(index).filter(|field| field.name() == column.name);
        match field {
            None => return fault(column.name, expected, "nothing in its place".to_owned()),
            Some(field) if *field.data_type() != column.data_type => {
                return fault(column.name, expected, field.data_type().to_string());
            }
            Some(field) if field.is_nullable() != column.nullable => {
                let nullable = if column.nullable { "" } else { ", nullable" };
                return fault(column.name, expected, format!("{}{nullable}", field.data_type()));
            }
            Some(_as_expected) => {}
        }
    }
    match found.fields().get(columns.len()) {
        None => Ok(()),
        Some(unknown) => fault(unknown.name(), "no such column".to_owned(), unknown.data_type().to_string()),
    }
}

pub(crate) fn content(path: &Path, reason: String) -> FormatError {
    FormatError::Content { path: path.to_owned(), reason }
}

/// A panic in a library becomes the fault of the file that brought it about.
pub(crate) fn contained<T>(path: &Path, work: impl FnOnce() -> Result<T, FormatError>) -> Result<T, FormatError> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        Err(content(path, format!("cannot be decoded: {text}")))
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

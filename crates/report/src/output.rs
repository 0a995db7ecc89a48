//! One frame, four formats.

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, WriterBuilder as JsonWriterBuilder};
use comfy_table::{CellAlignment, Table, presets};
use epsiloscope_format::{FormatError, escaped, parquet_file};
use parquet::errors::ParquetError;
use polars::prelude::{AnyValue, Column, DataFrame, PolarsError};

use crate::batch::{frame, record_batch, stacked};
use crate::escape::without_formula;
use crate::number;

/// Rows of a table for people.
const MAX_TABLE_ROWS: usize = 10_000;
/// Rows that are converted at once.
const ROWS_AT_A_TIME: usize = 65_536;

/// The formats of `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// An array of objects, one per row.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// A Parquet file.
    Parquet,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            other => Err(format!("unknown format {other:?}: expected table, json, csv or parquet")),
        }
    }
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The frame is not one of ours.
    #[error("cannot convert the result")]
    Frame(#[from] PolarsError),
    /// The CSV or JSON writer failed.
    #[error("cannot encode the result")]
    Arrow(#[from] ArrowError),
    /// The Parquet writer failed.
    #[error("cannot encode the result as Parquet")]
    Parquet(#[from] ParquetError),
    /// A file of results cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file or pipe written to.
    #[error("cannot write the result")]
    Io(#[from] io::Error),
}

/// Writes a frame in the given format.
///
/// # Errors
/// [`OutputError`] if the writer refuses.
pub fn write_frame(frame: &DataFrame, format: Format, out: &mut dyn Write) -> Result<(), OutputError> {
    match format {
        Format::Table => write_table(frame, out)?,
        Format::Json => Pipe::through(out, |pipe| write_json(frame, pipe))?,
        Format::Csv => Pipe::through(out, |pipe| write_csv(frame, pipe))?,
        Format::Parquet => out.write_all(&encode_parquet(frame, &[])?)?,
    }
    Ok(())
}

/// What a person may scroll through; aligning columns takes kilobytes a row.
fn write_table(frame: &DataFrame, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", table(&frame.head(Some(MAX_TABLE_ROWS))).trim_fmt())?;
    match frame.height().saturating_sub(MAX_TABLE_ROWS) {
        0 => Ok(()),
        more => writeln!(out, "and {} more rows: --format csv, json or parquet has all", number::grouped(more as i64)),
    }
}

/// Keeps the fault that the encoders would turn into text: a reader that has seen enough is none.
struct Pipe<'a> {
    out: &'a mut dyn Write,
    fault: Option<io::Error>,
}

impl Pipe<'_> {
    fn through(
        out: &mut dyn Write,
        encode: impl FnOnce(&mut Pipe<'_>) -> Result<(), OutputError>,
    ) -> Result<(), OutputError> {
        let mut pipe = Pipe { out, fault: None };
        let result = encode(&mut pipe);
        pipe.fault.map_or(result, |fault| Err(fault.into()))
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|fault| {
            let kind = fault.kind();
            if kind != io::ErrorKind::Interrupted {
                self.fault = Some(fault);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_json(frame: &DataFrame, out: &mut Pipe<'_>) -> Result<(), OutputError> {
    let mut writer = JsonWriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut *out);
    for rows in some_at_a_time(frame) {
        writer.write(&record_batch(&rows)?)?;
    }
    writer.finish()?;
    Ok(writeln!(out)?)
}

fn write_csv(frame: &DataFrame, out: &mut Pipe<'_>) -> Result<(), OutputError> {
    let mut writer = CsvWriterBuilder::new().with_header(true).build(out);
    for rows in some_at_a_time(frame) {
        writer.write(&without_formulas(&record_batch(&rows)?)?)?;
    }
    Ok(())
}

/// The rows in pieces, so that no second copy of all of them is made; one empty piece of a frame without rows.
fn some_at_a_time(frame: &DataFrame) -> impl Iterator<Item = DataFrame> + '_ {
    let starts = (0..frame.height().max(1)).step_by(ROWS_AT_A_TIME);
    starts.map(|start| frame.slice(start as i64, ROWS_AT_A_TIME))
}

/// A frame as the bytes of a Parquet file, with key-value metadata in its footer.
///
/// # Errors
/// [`OutputError::Parquet`] if the Parquet writer refuses.
pub fn encode_parquet(frame: &DataFrame, metadata: &[(&str, String)]) -> Result<Vec<u8>, OutputError> {
    Ok(parquet_file::encode_results(&record_batch(frame)?, metadata)?)
}

/// The frame that [`encode_parquet`] encoded; `path` is for messages.
///
/// # Errors
/// [`OutputError::Format`] if it is no Parquet file, [`OutputError::Frame`] if its columns are none of ours.
pub fn decode_parquet(path: &Path, bytes: Vec<u8>) -> Result<DataFrame, OutputError> {
    let batches = parquet_file::decode_results(path, bytes)?;
    Ok(stacked(batches.iter().map(frame))?.unwrap_or_default())
}

fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.as_any().downcast_ref::<StringArray>() {
        Some(texts) => {
            let texts: StringArray = texts.iter().map(|text| text.map(without_formula)).collect();
            std::sync::Arc::new(texts) as ArrayRef
        }
        None => column.clone(),
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

fn table(frame: &DataFrame) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(frame.columns().iter().map(|column| column.name().as_str()));
    for row in 0..frame.height() {
        table.add_row(frame.columns().iter().map(|column| cell(column, row)));
    }
    for (column, cells) in frame.columns().iter().zip(table.column_iter_mut()) {
        cells.set_padding((0, 2));
        if column.dtype().is_primitive_numeric() {
            cells.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn cell(column: &Column, row: usize) -> String {
    match column.get(row) {
        Ok(AnyValue::Null) | Err(_) => "-".to_owned(),
        Ok(AnyValue::String(text)) => escaped(text),
        Ok(AnyValue::StringOwned(text)) => escaped(&text),
        Ok(AnyValue::Float32(value)) => real(f64::from(value)),
        Ok(AnyValue::Float64(value)) => real(value),
        Ok(value) => value.to_string(),
    }
}

/// Shares and settings as they are, magnitudes in scientific notation.
fn real(value: f64) -> String {
    if value == 0.0 || (0.01..1000.0).contains(&value.abs()) {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number::magnitude(value)
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;

    fn written(n_rows: usize, format: Format) -> Vec<u8> {
        let frame = df!["row" => (0..n_rows as i64).collect::<Vec<_>>()].unwrap();
        let mut bytes = Vec::new();
        write_frame(&frame, format, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn rows_come_once_each_however_many_pieces_they_are_written_in() {
        for n_rows in [0, 1, ROWS_AT_A_TIME - 1, ROWS_AT_A_TIME, ROWS_AT_A_TIME + 1, 2 * ROWS_AT_A_TIME] {
            let rows: Vec<String> = (0..n_rows).map(|row| row.to_string()).collect();
            let csv = [&["row".to_owned()], rows.as_slice(), &[String::new()]].concat().join("\n");
            assert_eq!(String::from_utf8(written(n_rows, Format::Csv)).unwrap(), csv);
            let objects: Vec<String> = rows.iter().map(|row| format!(r#"{{"row":{row}}}"#)).collect();
            let json = format!("[{}]\n", objects.join(","));
            assert_eq!(String::from_utf8(written(n_rows, Format::Json)).unwrap(), json);
        }
    }

    #[test]
    fn a_long_table_ends_with_what_it_leaves_out() {
        let lines = |n_rows| String::from_utf8(written(n_rows, Format::Table)).unwrap().lines().count();
        assert_eq!(lines(MAX_TABLE_ROWS), 1 + MAX_TABLE_ROWS);
        let text = String::from_utf8(written(MAX_TABLE_ROWS + 1234, Format::Table)).unwrap();
        assert_eq!(text.lines().count(), 1 + MAX_TABLE_ROWS + 1);
        assert_eq!(text.lines().last(), Some("and 1\u{202f}234 more rows: --format csv, json or parquet has all"));
    }
}

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

use crate::batch::{frame, record_batch};
use crate::escape::without_formula;
use crate::number;

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
    Ok(out.write_all(&encode(frame, format)?)?)
}

/// A frame in the given format.
///
/// # Errors
/// [`OutputError`] if the encoder refuses.
pub fn encode(frame: &DataFrame, format: Format) -> Result<Vec<u8>, OutputError> {
    Ok(match format {
        Format::Table => format!("{}\n", table(frame).trim_fmt()).into_bytes(),
        Format::Json => encode_json(&record_batch(frame)?)?,
        Format::Csv => encode_csv(&record_batch(frame)?)?,
        Format::Parquet => encode_parquet(frame, &[])?,
    })
}

fn encode_json(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = JsonWriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
    writer.write(batch)?;
    writer.finish()?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn encode_csv(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    CsvWriterBuilder::new().with_header(true).build(&mut bytes).write(&without_formulas(batch)?)?;
    Ok(bytes)
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
    let mut batches = parquet_file::decode_results(path, bytes)?.into_iter();
    let Some(first) = batches.next() else { return Ok(DataFrame::empty()) };
    let mut all = frame(&first)?;
    for batch in batches {
        all.vstack_mut_owned(frame(&batch)?)?;
    }
    Ok(all)
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

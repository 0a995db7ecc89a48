//! One frame, four formats.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::{Writer as CsvWriter, WriterBuilder as CsvWriterBuilder};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, Writer as JsonWriter, WriterBuilder as JsonWriterBuilder};
use epsiloscope_figure::grouped;
use epsiloscope_format::{FormatError, parquet_file};
use parquet::errors::ParquetError;
use polars::prelude::{AnyValue, Column, DataFrame, PolarsError};

use crate::batch::{frame, record_batch, stacked};
use crate::escape::{shown, without_formula};
use crate::number;
use crate::seen_json::SeenJson;
use crate::told::{Side, Told};

/// Rows of a table for people.
pub const MAX_TABLE_ROWS: usize = 10_000;
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
    let mut writer = FrameWriter::new(format, out);
    writer.write(frame)?;
    writer.finish()
}

/// Writes frames of the same columns as one result. CSV and JSON are written as the frames come; of a table the rows that it
/// shows are kept, as columns are as wide as their widest cell; a Parquet file is made at the end.
/// Of no frames at all nothing is written.
pub struct FrameWriter<'a> {
    sink: Sink<'a>,
    is_begun: bool,
    fault: Fault,
}

enum Sink<'a> {
    Table { out: &'a mut dyn Write, head: Vec<DataFrame>, n_rows: usize },
    Json(JsonWriter<SeenJson<Pipe<'a>>, JsonArray>),
    Csv(Box<CsvWriter<Pipe<'a>>>),
    Parquet { out: &'a mut dyn Write, frames: Vec<DataFrame> },
}

impl<'a> FrameWriter<'a> {
    /// Writes nothing yet.
    pub fn new(format: Format, out: &'a mut dyn Write) -> Self {
        let fault = Fault::default();
        let sink = match format {
            Format::Table => Sink::Table { out, head: Vec::new(), n_rows: 0 },
            Format::Json => {
                let pipe = Pipe { out, fault: Rc::clone(&fault) };
                Sink::Json(JsonWriterBuilder::new().with_explicit_nulls(true).build(SeenJson::new(pipe)))
            }
            Format::Csv => Sink::Csv(Box::new(
                CsvWriterBuilder::new().with_header(true).build(Pipe { out, fault: Rc::clone(&fault) }),
            )),
            Format::Parquet => Sink::Parquet { out, frames: Vec::new() },
        };
        Self { sink, is_begun: false, fault }
    }

    /// Takes more rows.
    ///
    /// # Errors
    /// [`OutputError`] if the writer refuses.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), OutputError> {
        self.is_begun = true;
        let result = self.sink.write(frame);
        self.fault.take().map_or(result, |fault| Err(fault.into()))
    }

    /// Ends the result.
    ///
    /// # Errors
    /// [`OutputError`] if the writer refuses.
    pub fn finish(self) -> Result<(), OutputError> {
        if !self.is_begun {
            return Ok(());
        }
        let result = self.sink.finish();
        self.fault.take().map_or(result, |fault| Err(fault.into()))
    }
}

impl Sink<'_> {
    fn write(&mut self, frame: &DataFrame) -> Result<(), OutputError> {
        match self {
            Self::Table { head, n_rows, .. } => {
                let room = MAX_TABLE_ROWS.saturating_sub(*n_rows);
                if 0 < room || head.is_empty() {
                    head.push(frame.head(Some(room)));
                }
                *n_rows += frame.height();
            }
            Self::Json(writer) => {
                for rows in some_at_a_time(frame) {
                    writer.write(&record_batch(&rows)?)?;
                }
            }
            Self::Csv(writer) => {
                for rows in some_at_a_time(frame) {
                    writer.write(&without_formulas(&record_batch(&rows)?)?)?;
                }
            }
            Self::Parquet { frames, .. } => frames.push(frame.clone()),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), OutputError> {
        match self {
            Self::Table { out, head, n_rows } => match stacked(head.into_iter().map(Ok))? {
                Some(head) => Ok(write_table(&head, n_rows, out)?),
                None => Ok(()),
            },
            Self::Json(mut writer) => {
                writer.finish()?;
                Ok(writeln!(writer.into_inner())?)
            }
            Self::Csv(_) => Ok(()),
            Self::Parquet { out, frames } => match stacked(frames.into_iter().map(Ok))? {
                Some(frame) => Ok(out.write_all(&encode_parquet(&frame, &[])?)?),
                None => Ok(()),
            },
        }
    }
}

/// What a person may scroll through; aligning columns takes kilobytes a row.
fn write_table(head: &DataFrame, n_rows: usize, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", told_rows(head))?;
    write_more_rows(n_rows - head.height(), out)
}

/// Says how many rows a table for people leaves out, if it does.
///
/// # Errors
/// The sink's.
pub fn write_more_rows(n_rows: usize, out: &mut dyn Write) -> io::Result<()> {
    match more_rows(n_rows) {
        None => Ok(()),
        Some(more) => writeln!(out, "{more}: --format csv, json or parquet has all"),
    }
}

/// How many rows a table for people leaves out, if it does: `and 1 234 more rows`.
pub fn more_rows(n_rows: usize) -> Option<String> {
    (0 < n_rows).then(|| format!("and {} more rows", grouped(n_rows as i64)))
}

/// The fault that the encoders would turn into text: a reader that has seen enough is none.
type Fault = Rc<Cell<Option<io::Error>>>;

/// Keeps the fault of what it writes to.
struct Pipe<'a> {
    out: &'a mut dyn Write,
    fault: Fault,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|fault| {
            let kind = fault.kind();
            if kind != io::ErrorKind::Interrupted {
                self.fault.set(Some(fault));
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

/// A frame's rows as people read them.
pub fn told_rows(frame: &DataFrame) -> Told {
    let columns = frame.columns();
    let mut told = Told::new(columns.iter().map(|column| {
        let side = if column.dtype().is_primitive_numeric() { Side::Right } else { Side::Left };
        (column.name().as_str(), side)
    }));
    for row in 0..frame.height() {
        told.add_row(columns.iter().map(|column| cell(column, row)));
    }
    told
}

fn cell(column: &Column, row: usize) -> String {
    match column.get(row) {
        Ok(AnyValue::Null) | Err(_) => "-".to_owned(),
        Ok(AnyValue::String(text)) => shown(text),
        Ok(AnyValue::StringOwned(text)) => shown(&text),
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

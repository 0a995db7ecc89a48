//! Arrow batches to Parquet bytes and back, in the types and encodings that every reader takes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::FormatError;
use crate::manifest::Manifest;
use crate::schema::{Column, Encoding, SCHEMA_VERSION, Table};

/// Rows per data page: what a reader that skips pages may skip at a time.
pub(crate) const PAGE_ROWS: usize = 20_000;
/// Rows decoded at a time.
const BATCH_ROWS: usize = 1 << 16;

/// How the parts of a table are encoded, and what their footers say.
pub(crate) fn part_properties(table: Table, metadata: &[(&str, String)]) -> WriterProperties {
    let columns = table.columns();
    let meaning = |column: &Column| (format!("epsiloscope.column.{}", column.name), column.meaning.to_owned());
    let meanings: Vec<(String, String)> = columns.iter().map(meaning).collect();
    let meanings = meanings.iter().map(|(key, meaning)| (key.as_str(), meaning.clone()));
    let metadata: Vec<(&str, String)> = metadata.iter().cloned().chain(meanings).collect();
    columns.iter().fold(properties(&metadata, table.sorted_by()), with_encoding).build()
}

/// What a part's footer says of its run.
pub(crate) fn part_metadata(table: Table, manifest: &Manifest) -> [(&'static str, String); 4] {
    [
        ("epsiloscope.table", table.name().to_owned()),
        ("epsiloscope.run", manifest.run.clone()),
        ("epsiloscope.magnitudes", format!("{:?}", manifest.magnitudes)),
        ("epsiloscope.zeros_nan_infinities", "counted in table tensors, absent from histograms".to_owned()),
    ]
}

/// Encodes rows that were decoded from parts of the same table, for the file at `path`, as they come.
///
/// # Errors
/// [`FormatError::Parquet`] with what the Parquet library finds, and whatever the rows come with.
pub(crate) fn encode_batches(
    table: Table,
    path: &Path,
    metadata: &[(&str, String)],
    batches: impl IntoIterator<Item = Result<RecordBatch, FormatError>>,
) -> Result<Vec<u8>, FormatError> {
    let parquet = |source| FormatError::Parquet { path: path.to_owned(), source };
    let options =
        ArrowWriterOptions::new().with_properties(part_properties(table, metadata)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), table.arrow_schema(), options).map_err(parquet)?;
    for batch in batches {
        writer.write(&batch?).map_err(parquet)?;
    }
    writer.into_inner().map_err(parquet)
}

/// Encodes any table of results: dictionaries for text, everything else plain, ZSTD.
///
/// # Errors
/// What the Parquet library finds.
pub fn encode_results(batch: &RecordBatch, metadata: &[(&str, String)]) -> Result<Vec<u8>, ParquetError> {
    let mut properties = properties(metadata, 0);
    for field in batch.schema().fields().iter().filter(|field| field.data_type().is_string()) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), true);
    }
    // Without the embedded Arrow schema the file says only what every reader understands.
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(batch)?;
    writer.into_inner()
}

/// Decodes a table of results that [`encode_results`] encoded; `path` is for messages.
///
/// # Errors
/// [`FormatError::Parquet`] if it is none.
pub fn decode_results(path: &Path, bytes: Vec<u8>) -> Result<Vec<RecordBatch>, FormatError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes::Bytes::from(bytes), options)
        .and_then(ParquetRecordBatchReaderBuilder::build);
    let parquet = |source| FormatError::Parquet { path: path.to_owned(), source };
    reader.map_err(parquet)?.map(|batch| batch.map_err(|fault| parquet(fault.into()))).collect()
}

fn properties(metadata: &[(&str, String)], sorted_by: usize) -> WriterPropertiesBuilder {
    let own = [
        ("epsiloscope.schema_version", SCHEMA_VERSION.to_string()),
        ("epsiloscope.bins_per_decade", epsiloscope_histogram::BINS_PER_DECADE.to_string()),
    ];
    let is_own = |key: &str| !metadata.iter().any(|(other, _)| *other == key);
    let own = own.iter().filter(|(key, _)| is_own(key));
    let pairs = own.chain(metadata).map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let ascending = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let sorting: Vec<SortingColumn> = (0..sorted_by as i32).map(ascending).collect();
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("epsiloscope {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_key_value_metadata(Some(pairs.collect()))
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting))
}

fn with_encoding(properties: WriterPropertiesBuilder, column: &Column) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name);
    match column.encoding {
        Encoding::Runs | Encoding::Dictionary => properties.set_column_dictionary_enabled(path, true),
        Encoding::Delta => properties.set_column_encoding(path, ParquetEncoding::DELTA_BINARY_PACKED),
        Encoding::Plain => properties
            .set_column_encoding(path.clone(), ParquetEncoding::PLAIN)
            .set_column_compression(path, Compression::UNCOMPRESSED),
    }
}

/// Opens a part of `table` held in memory, after checking its columns, to read all of them or those named; with it, the
/// number of rows that its footer states.
///
/// # Errors
/// [`FormatError::Parquet`] if it is none, [`FormatError::Column`] if a column is missing or of another type.
pub(crate) fn open_table(
    table: Table,
    path: &Path,
    bytes: Vec<u8>,
    columns: Option<&[&str]>,
) -> Result<(u64, ParquetRecordBatchReader), FormatError> {
    let parquet = |source| FormatError::Parquet { path: path.to_owned(), source };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let bytes = bytes::Bytes::from(bytes);
    let found = ArrowReaderMetadata::load(&bytes, options.clone()).map_err(parquet)?;
    let schema = check_columns(table, path, found.schema())?;
    let rows = u64::try_from(found.metadata().file_metadata().num_rows()).unwrap_or(0);
    let parquet_schema = found.metadata().file_metadata().schema_descr();
    let projection = columns
        .map_or_else(ProjectionMask::all, |columns| ProjectionMask::columns(parquet_schema, columns.iter().copied()));
    // The same footer, read with our types.
    let typed = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options.with_schema(schema));
    let reader = typed.and_then(|typed| {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, typed).with_projection(projection);
        builder.with_batch_size(BATCH_ROWS).build()
    });
    Ok((rows, reader.map_err(parquet)?))
}

/// The schema to read with: the file's columns in their order, ours as this crate holds them in memory.
///
/// Columns that we do not know are let through unread, so that a later version may add some.
fn check_columns(table: Table, path: &Path, found: &SchemaRef) -> Result<SchemaRef, FormatError> {
    let wanted = table.arrow_schema();
    for column in table.columns() {
        let fault = |found: String| FormatError::Column {
            path: path.to_owned(),
            column: column.name.to_owned(),
            expected: column.data_type.to_string(),
            found,
        };
        let field = found.field_with_name(column.name).map_err(|_missing| fault("nothing".to_owned()))?;
        if *field.data_type() != column.data_type {
            return Err(fault(field.data_type().to_string()));
        }
        if field.is_nullable() && !column.nullable {
            return Err(fault(format!("{}, nullable", field.data_type())));
        }
    }
    let fields: Vec<Arc<Field>> = found
        .fields()
        .iter()
        .map(|field| match wanted.field_with_name(field.name()) {
            Ok(known) => Arc::new(known.clone().with_nullable(field.is_nullable())),
            Err(_unknown) => field.clone(),
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

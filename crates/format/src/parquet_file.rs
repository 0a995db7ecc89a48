//! Arrow batches to Parquet bytes, in the types and encodings that every reader takes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::FormatError;
use crate::footer_guard;
use crate::manifest::Manifest;
use crate::part_decoder::contained;
use crate::schema::{Column, Encoding, SCHEMA_VERSION, Table};

/// Dictionaries of more bytes than this are given up for plain values, well before a page is too large to be read.
const MAX_DICTIONARY_BYTES: usize = footer_guard::MAX_PAGE_BYTES * 7 / 8;
/// Rows per data page: what a reader that skips pages may skip at a time.
pub(crate) const PAGE_ROWS: usize = 20_000;

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

/// Decodes a table of results that [`encode_results`] encoded, after footer and page headers were looked through; `path` is
/// for messages.
///
/// # Errors
/// [`FormatError::Refused`] or [`FormatError::Parquet`] if it is none.
pub fn decode_results(path: &Path, bytes: Vec<u8>) -> Result<Vec<RecordBatch>, FormatError> {
    contained(path, || {
        let metadata = footer_guard::metadata(&bytes, footer_guard::RESULTS).map_err(|refusal| refusal.at(path))?;
        let parquet = |source| FormatError::Parquet { path: path.to_owned(), source };
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(parquet)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(Bytes::from(bytes), metadata).build();
        reader.map_err(parquet)?.map(|batch| batch.map_err(|fault| parquet(fault.into()))).collect()
    })
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
        .set_dictionary_page_size_limit(MAX_DICTIONARY_BYTES)
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

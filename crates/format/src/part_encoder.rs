//! Rows to the bytes of a part file, column by column.

use std::sync::Arc;

use parquet::arrow::ArrowSchemaConverter;
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::key_column::{Key, encode_runs};
use crate::parquet_file::part_properties;
use crate::schema::Table;

/// Takes the columns of a part in the order of the table's schema.
pub(crate) struct PartEncoder<'a> {
    group: SerializedRowGroupWriter<'a, Vec<u8>>,
    schema: &'a SchemaDescriptor,
    n_columns: usize,
}

/// Encodes one part of a table; `fill` hands over every column.
///
/// # Errors
/// What the Parquet library finds; with columns of the table's schema, nothing but a lack of memory.
pub(crate) fn encode_part(
    table: Table,
    metadata: &[(&str, String)],
    fill: impl FnOnce(&mut PartEncoder<'_>) -> Result<(), ParquetError>,
) -> Result<Vec<u8>, ParquetError> {
    let schema = ArrowSchemaConverter::new().convert(&table.arrow_schema())?;
    let properties = Arc::new(part_properties(table, metadata));
    let mut file = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), properties)?;
    {
        let mut part = PartEncoder { group: file.next_row_group()?, schema: &schema, n_columns: 0 };
        fill(&mut part)?;
        part.group.close()?;
    }
    file.into_inner()
}

impl PartEncoder<'_> {
    /// A column of runs.
    pub(crate) fn keys<'k>(&mut self, runs: impl Iterator<Item = (Key<'k>, usize)>) -> Result<(), ParquetError> {
        let (bytes, result) = encode_runs(self.next_column(), runs)?;
        self.group.append_column(&bytes, result)
    }

    /// A column without nulls.
    pub(crate) fn required<T: DataType>(&mut self, values: &[T::T]) -> Result<(), ParquetError> {
        self.write::<T>(values, None)
    }

    /// A column that may have nulls.
    pub(crate) fn nullable<T: DataType>(
        &mut self,
        values: impl Iterator<Item = Option<T::T>>,
    ) -> Result<(), ParquetError> {
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        for value in values {
            levels.push(i16::from(value.is_some()));
            present.extend(value);
        }
        self.write::<T>(&present, Some(&levels))
    }

    fn write<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<(), ParquetError> {
        self.n_columns += 1;
        let Some(mut column) = self.group.next_column()? else {
            return Err(ParquetError::General("more columns than the schema has".to_owned()));
        };
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }

    fn next_column(&mut self) -> ColumnDescPtr {
        self.n_columns += 1;
        self.schema.column(self.n_columns - 1)
    }
}

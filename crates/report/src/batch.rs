//! Polars frames as Arrow batches, so that one set of writers serves them, and back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType as ArrowType, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema};
use polars::prelude::{Column, DataFrame, DataType, PolarsError, PolarsResult};

/// Copies a frame column by column.
pub(crate) fn record_batch(frame: &DataFrame) -> PolarsResult<RecordBatch> {
    let arrays = frame.columns().iter().map(array).collect::<PolarsResult<Vec<_>>>()?;
    let field = |(column, array): (&Column, &ArrayRef)| {
        Field::new(column.name().as_str(), array.data_type().clone(), column.null_count() > 0)
    };
    let fields: Vec<Field> = frame.columns().iter().zip(&arrays).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|source| PolarsError::ComputeError(source.to_string().into()))
}

fn array(column: &Column) -> PolarsResult<ArrayRef> {
    Ok(match column.dtype() {
        DataType::Boolean => Arc::new(column.bool()?.iter().collect::<BooleanArray>()),
        DataType::Int32 => Arc::new(column.i32()?.iter().collect::<Int32Array>()),
        DataType::Int64 => Arc::new(column.i64()?.iter().collect::<Int64Array>()),
        DataType::Float32 => Arc::new(column.f32()?.iter().collect::<Float32Array>()),
        DataType::Float64 => Arc::new(column.f64()?.iter().collect::<Float64Array>()),
        DataType::String => Arc::new(column.str()?.iter().collect::<StringArray>()),
        other => {
            let reason = format!("column {}: no result is of type {other}", column.name());
            return Err(PolarsError::SchemaMismatch(reason.into()));
        }
    })
}

/// The inverse of [`record_batch`].
pub(crate) fn frame(batch: &RecordBatch) -> PolarsResult<DataFrame> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| column(field, array));
    DataFrame::new(batch.num_rows(), columns.collect::<PolarsResult<Vec<_>>>()?)
}

fn column(field: &Field, array: &ArrayRef) -> PolarsResult<Column> {
    let name = field.name().as_str().into();
    Ok(match field.data_type() {
        ArrowType::Boolean => Column::new(name, array.as_boolean().iter().collect::<Vec<_>>()),
        ArrowType::Int32 => Column::new(name, array.as_primitive::<Int32Type>().iter().collect::<Vec<_>>()),
        ArrowType::Int64 => Column::new(name, array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()),
        ArrowType::Float32 => Column::new(name, array.as_primitive::<Float32Type>().iter().collect::<Vec<_>>()),
        ArrowType::Float64 => Column::new(name, array.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()),
        ArrowType::Utf8 => Column::new(name, array.as_string::<i32>().iter().collect::<Vec<_>>()),
        other => {
            let reason = format!("column {}: no result is of type {other}", field.name());
            return Err(PolarsError::SchemaMismatch(reason.into()));
        }
    })
}

//! Polars frames as Arrow batches, so that one set of writers serves them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Field, Schema};
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

//! Polars frames as Arrow batches, so that one set of writers serves them, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType as ArrowType, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use polars::prelude::{
    Column, DataFrame, DataType, IdxCa, Int64Chunked, IntoSeries, NamedFrom, NewChunkedArray, PlSmallStr, PolarsError,
    PolarsResult, Series, StringChunked, TimeUnit, TimeZone,
};

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
        DataType::Datetime(TimeUnit::Microseconds, zone) => {
            let micros: TimestampMicrosecondArray = column.datetime()?.physical().iter().collect();
            // Arrow's writers know offsets, not names of zones.
            Arc::new(micros.with_timezone_opt(zone.as_ref().map(|_utc| "+00:00")))
        }
        DataType::String => Arc::new(column.str()?.iter().collect::<StringArray>()),
        other => {
            let reason = format!("column {}: no result is of type {other}", column.name());
            return Err(PolarsError::SchemaMismatch(reason.into()));
        }
    })
}

/// A batch as a frame, column by column; names may also be dictionaries.
///
/// # Errors
/// [`PolarsError::SchemaMismatch`] if a column is of a type that neither results nor runs have.
pub fn frame(batch: &RecordBatch) -> PolarsResult<DataFrame> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| column(field, array));
    DataFrame::new(batch.num_rows(), columns.collect::<PolarsResult<Vec<_>>>()?)
}

/// Frames of the same columns, one below the other; none of none.
///
/// # Errors
/// The first of the frames', or [`PolarsError`] if columns differ.
pub fn stacked(frames: impl IntoIterator<Item = PolarsResult<DataFrame>>) -> PolarsResult<Option<DataFrame>> {
    let mut frames = frames.into_iter();
    let Some(first) = frames.next() else { return Ok(None) };
    let mut all = first?;
    for frame in frames {
        all.vstack_mut_owned(frame?)?;
    }
    Ok(Some(all))
}

fn column(field: &Field, array: &ArrayRef) -> PolarsResult<Column> {
    let name = field.name().as_str().into();
    Ok(match field.data_type() {
        ArrowType::Dictionary(_, _) => names(name, array)?,
        ArrowType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().iter().collect::<Int64Chunked>();
            let zone = zone.as_ref().map(|_utc| TimeZone::UTC);
            Column::from(micros.with_name(name).into_datetime(TimeUnit::Microseconds, zone).into_series())
        }
        ArrowType::Boolean => Column::new(name, array.as_boolean().iter().collect::<Vec<_>>()),
        ArrowType::Int32 => numbers::<Int32Type, _>(name, array),
        ArrowType::Int64 => numbers::<Int64Type, _>(name, array),
        ArrowType::Float32 => numbers::<Float32Type, _>(name, array),
        ArrowType::Float64 => numbers::<Float64Type, _>(name, array),
        ArrowType::Utf8 => Column::new(name, array.as_string::<i32>().iter().collect::<Vec<_>>()),
        other => {
            let reason = format!("column {}: no result is of type {other}", field.name());
            return Err(PolarsError::SchemaMismatch(reason.into()));
        }
    })
}

/// Numbers are copied at once where none is null.
fn numbers<T: ArrowPrimitiveType, S: ?Sized>(name: PlSmallStr, array: &ArrayRef) -> Column
where
    Series: NamedFrom<Vec<Option<T::Native>>, S> + for<'a> NamedFrom<&'a [T::Native], [T::Native]>,
{
    let numbers = array.as_primitive::<T>();
    let series = if numbers.null_count() == 0 {
        Series::new(name, &**numbers.values())
    } else {
        Series::new(name, numbers.iter().collect::<Vec<_>>())
    };
    series.into()
}

/// Each name is stored once, and refers to it from every row.
fn names(name: PlSmallStr, array: &ArrayRef) -> PolarsResult<Column> {
    let mismatch = || PolarsError::SchemaMismatch(format!("column {name}: not a dictionary of names").into());
    let names = array.as_dictionary_opt::<Int32Type>().ok_or_else(mismatch)?;
    let values = names.values().as_string_opt::<i32>().ok_or_else(mismatch)?;
    let values = StringChunked::from_iter_options("".into(), values.iter());
    let keys: IdxCa = names.keys().iter().map(|key| key.map(|key| key as u32)).collect();
    Ok(values.into_series().take(&keys)?.with_name(name).into())
}

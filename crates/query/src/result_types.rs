//! Results in the types that every format can hold.

use polars::prelude::{Column, DataFrame, DataType, PolarsResult, TimeUnit, TimeZone};

use crate::error::QueryError;

/// The same values in signed integers of 32 or 64 bits, floats, text, truth and times of
/// microseconds; differences of times in seconds.
///
/// # Errors
/// [`QueryError::Type`] for lists and structures, and integers beyond 64 bits.
pub(crate) fn plain(frame: &DataFrame) -> Result<DataFrame, QueryError> {
    let columns = frame.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(DataFrame::new(frame.height(), columns)?)
}

fn column(column: &Column) -> Result<Column, QueryError> {
    let fault = || QueryError::Type { column: column.name().to_string(), kind: column.dtype().to_string() };
    let cast = |result: PolarsResult<Column>| result.map_err(|_unfit| fault());
    let micros = |zone| DataType::Datetime(TimeUnit::Microseconds, zone);
    match column.dtype() {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => cast(column.cast(&DataType::Int32)),
        DataType::UInt32 => cast(column.cast(&DataType::Int64)),
        DataType::UInt64 | DataType::Int128 => cast(column.strict_cast(&DataType::Int64)),
        DataType::Decimal(..) => cast(column.cast(&DataType::Float64)),
        DataType::Null | DataType::Date | DataType::Time => cast(column.cast(&DataType::String)),
        DataType::Duration(unit) => cast(seconds(column, *unit)),
        DataType::Datetime(unit, zone) if *unit != TimeUnit::Microseconds => {
            cast(column.cast(&micros(zone.as_ref().map(|_any| TimeZone::UTC))))
        }
        DataType::Datetime(..)
        | DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::String => Ok(column.clone()),
        _ => Err(fault()),
    }
}

/// How long, as a number.
fn seconds(column: &Column, unit: TimeUnit) -> PolarsResult<Column> {
    let per_second = match unit {
        TimeUnit::Nanoseconds => 1e9,
        TimeUnit::Microseconds => 1e6,
        TimeUnit::Milliseconds => 1e3,
    };
    column.cast(&DataType::Int64)?.cast(&DataType::Float64).map(|ticks| ticks / per_second)
}

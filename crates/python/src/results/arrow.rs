//! Frames for other libraries, through the Arrow C data interface.
//!
//! Numbers are handed over where they lie. Names are written out as large strings: views, as polars has them, are read by
//! many libraries and computed with by few.

use polars::prelude::{ArrowField, CompatLevel, DataFrame, PolarsResult, Series};
use polars_arrow::array::{Array, StructArray};
use polars_arrow::datatypes::ArrowDataType;
use polars_arrow::ffi::{ArrowArrayStream, ArrowSchema, export_field_to_c, export_iterator};

fn level() -> CompatLevel {
    CompatLevel::oldest()
}

/// A row as one structure, as the interface wants it.
fn row(frame: &DataFrame) -> ArrowField {
    let fields = frame.columns().iter().map(|column| column.field().to_arrow(level())).collect();
    ArrowField::new("".into(), ArrowDataType::Struct(fields), false)
}

/// The types of a frame's columns.
pub(super) fn schema(frame: &DataFrame) -> ArrowSchema {
    export_field_to_c(&row(frame))
}

/// A frame whose columns have the same chunks, a batch each.
pub(super) fn stream(frame: &DataFrame) -> ArrowArrayStream {
    let row = row(frame);
    let columns: Vec<Series> = frame.columns().iter().map(|column| column.as_materialized_series().clone()).collect();
    let n_chunks = columns.first().map_or(0, |column| column.n_chunks());
    let dtype = row.dtype().clone();
    let batch = move |chunk: usize| -> PolarsResult<Box<dyn Array>> {
        let arrays: Vec<_> = columns.iter().map(|column| column.to_arrow(chunk, level())).collect();
        let n_rows = arrays.first().map_or(0, |array| array.len());
        Ok(StructArray::try_new(dtype.clone(), n_rows, arrays, None)?.boxed())
    };
    export_iterator(Box::new((0..n_chunks).map(batch)), row)
}

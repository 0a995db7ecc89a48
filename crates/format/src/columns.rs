//! Decoded rows of a run as plain columns: names become indices into the manifest.

use std::ops::Range;
use std::path::Path;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array,
    Int64Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use crate::error::FormatError;
use crate::manifest::Manifest;
use crate::schema::MAX_NAME_BYTES;

/// Rows of `magnitudes`, sorted by step, tensor, quantity, element.
pub struct MagnitudeBatch {
    /// The rank that recorded them.
    pub rank: u32,
    /// Optimizer step.
    pub step: Int64Array,
    /// Index into [`Manifest::tensors`].
    pub tensor: Vec<u32>,
    /// Index into [`Manifest::quantities`].
    pub quantity: Vec<u32>,
    /// Index into the flattened tensor.
    pub element: Int64Array,
    /// Absolute value; NaN where the file has null.
    pub magnitude: ScalarBuffer<f32>,
    /// Whether the value is below zero; false where signs were not kept.
    pub negative: BooleanBuffer,
}

/// Rows one after the other with the same step, tensor and quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Optimizer step.
    pub step: i64,
    /// Index into [`Manifest::tensors`].
    pub tensor: u32,
    /// Index into [`Manifest::quantities`].
    pub quantity: u32,
    /// The rows of the batch.
    pub rows: Range<usize>,
}

/// Rows of `histograms`, sorted by step, tensor, quantity, bin.
pub struct HistogramBatch {
    /// Optimizer step.
    pub step: Int64Array,
    /// Index into [`Manifest::tensors`].
    pub tensor: Vec<u32>,
    /// Index into [`Manifest::quantities`].
    pub quantity: Vec<u32>,
    /// Bin at 40 bins per decade.
    pub bin: Int32Array,
    /// Elements in it.
    pub count: Int64Array,
}

/// Rows of `tensors`, sorted by step, tensor, quantity.
pub struct TensorBatch {
    /// Optimizer step.
    pub step: Int64Array,
    /// Index into [`Manifest::tensors`].
    pub tensor: Vec<u32>,
    /// Index into [`Manifest::quantities`].
    pub quantity: Vec<u32>,
    /// Elements.
    pub numel: Int64Array,
    /// Exact zeros.
    pub zeros: Int64Array,
    /// Not a number.
    pub nan: Int64Array,
    /// +∞.
    pub pos_inf: Int64Array,
    /// −∞.
    pub neg_inf: Int64Array,
    /// Least finite magnitude above zero.
    pub min_nonzero: Float32Array,
    /// Greatest finite magnitude.
    pub max: Float32Array,
    /// Over all finite elements.
    pub sum_of_squares: Float64Array,
}

/// Rows of `scalars`, sorted by step.
pub struct ScalarBatch {
    /// Optimizer step.
    pub step: Int64Array,
    /// What the training loop calls it.
    pub name: Vec<String>,
    /// Null if it was not a number.
    pub value: Float64Array,
}

/// Rows of `steps`, in order.
pub struct StepBatch {
    /// Optimizer step.
    pub step: Int64Array,
    /// Pass over the data, counted from 1.
    pub epoch: Int32Array,
    /// Microseconds since 1970, UTC.
    pub time: TimestampMicrosecondArray,
    /// As the training loop computed it.
    pub loss: Float64Array,
    /// Of this step.
    pub learning_rate: Float64Array,
    /// Divided out of the recorded gradients.
    pub loss_scale: Float64Array,
    /// Whether scaled gradients were not all finite, so that the optimizer skipped the step.
    pub overflow: BooleanBuffer,
}

/// A batch seen through its part file's path and the manifest, for messages and names.
pub(crate) struct Source<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) path: &'a Path,
    pub(crate) manifest: &'a Manifest,
    pub(crate) rank: u32,
}

impl MagnitudeBatch {
    pub(crate) fn new(source: &Source<'_>) -> Result<Self, FormatError> {
        let negative: BooleanArray = source.typed("negative")?;
        let negative = match negative.nulls() {
            None => negative.values().clone(),
            Some(nulls) => negative.values() & nulls.inner(),
        };
        Ok(Self {
            rank: source.rank,
            step: source.primitive::<Int64Type>("step")?,
            tensor: source.tensors()?,
            quantity: source.quantities()?,
            element: source.primitive::<Int64Type>("element")?,
            magnitude: source.magnitudes()?,
            negative,
        })
    }
}

impl HistogramBatch {
    /// The rows of each step, tensor and quantity.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let segment = |rows: Range<usize>| Segment {
            step: self.step.value(rows.start),
            tensor: self.tensor[rows.start],
            quantity: self.quantity[rows.start],
            rows,
        };
        segments(self.step.values(), &self.tensor, &self.quantity).into_iter().map(segment)
    }

    pub(crate) fn new(source: &Source<'_>) -> Result<Self, FormatError> {
        let batch = Self {
            step: source.primitive::<Int64Type>("step")?,
            tensor: source.tensors()?,
            quantity: source.quantities()?,
            bin: source.primitive::<Int32Type>("bin")?,
            count: source.primitive::<Int64Type>("count")?,
        };
        let bins = epsiloscope_histogram::bins::MIN_BIN..=epsiloscope_histogram::bins::MAX_BIN;
        if let Some(bin) = batch.bin.values().iter().find(|bin| !bins.contains(bin)) {
            return Err(source.fault(format!("bin {bin}: expected one of {} to {}", bins.start(), bins.end())));
        }
        if let Some(count) = batch.count.values().iter().find(|&&count| count <= 0) {
            return Err(source.fault(format!("count {count}: expected more than 0")));
        }
        Ok(batch)
    }
}

impl TensorBatch {
    pub(crate) fn new(source: &Source<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            step: source.primitive::<Int64Type>("step")?,
            tensor: source.tensors()?,
            quantity: source.quantities()?,
            numel: source.primitive::<Int64Type>("numel")?,
            zeros: source.primitive::<Int64Type>("zeros")?,
            nan: source.primitive::<Int64Type>("nan")?,
            pos_inf: source.primitive::<Int64Type>("pos_inf")?,
            neg_inf: source.primitive::<Int64Type>("neg_inf")?,
            min_nonzero: source.primitive::<Float32Type>("min_nonzero")?,
            max: source.primitive::<Float32Type>("max")?,
            sum_of_squares: source.primitive::<Float64Type>("sum_of_squares")?,
        })
    }
}

impl StepBatch {
    pub(crate) fn new(source: &Source<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            step: source.primitive::<Int64Type>("step")?,
            epoch: source.primitive::<Int32Type>("epoch")?,
            time: source.primitive::<TimestampMicrosecondType>("time")?,
            loss: source.primitive::<Float64Type>("loss")?,
            learning_rate: source.primitive::<Float64Type>("learning_rate")?,
            loss_scale: source.primitive::<Float64Type>("loss_scale")?,
            overflow: source.typed::<BooleanArray>("overflow")?.values().clone(),
        })
    }
}

impl ScalarBatch {
    pub(crate) fn new(source: &Source<'_>) -> Result<Self, FormatError> {
        let names: DictionaryArray<Int32Type> = source.typed("name")?;
        let names = names.downcast_dict::<StringArray>();
        let names = names.ok_or_else(|| source.fault("column name has an unexpected type".to_owned()))?;
        if let Some(name) = names.values().iter().flatten().find(|name| MAX_NAME_BYTES < name.len()) {
            return Err(source.fault(format!("a name of {} bytes: expected at most {MAX_NAME_BYTES}", name.len())));
        }
        Ok(Self {
            step: source.primitive::<Int64Type>("step")?,
            name: names.into_iter().map(|name| name.unwrap_or_default().to_owned()).collect(),
            value: source.primitive::<Float64Type>("value")?,
        })
    }
}

impl Source<'_> {
    fn fault(&self, reason: String) -> FormatError {
        FormatError::Content { path: self.path.to_owned(), reason }
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, FormatError> {
        self.batch.column_by_name(name).ok_or_else(|| self.fault(format!("column {name} is missing")))
    }

    fn typed<T: Array + Clone + 'static>(&self, name: &str) -> Result<T, FormatError> {
        let column = self.column(name)?.as_any().downcast_ref::<T>();
        column.cloned().ok_or_else(|| self.fault(format!("column {name} has an unexpected type")))
    }

    fn primitive<T: ArrowPrimitiveType>(&self, name: &str) -> Result<PrimitiveArray<T>, FormatError> {
        self.typed(name)
    }

    fn magnitudes(&self) -> Result<ScalarBuffer<f32>, FormatError> {
        let magnitude: PrimitiveArray<Float32Type> = self.primitive("magnitude")?;
        Ok(match magnitude.null_count() {
            0 => magnitude.values().clone(),
            _ => magnitude.iter().map(|value| value.unwrap_or(f32::NAN)).collect(),
        })
    }

    fn tensors(&self) -> Result<Vec<u32>, FormatError> {
        self.tensor_names()?.indices()
    }

    fn quantities(&self) -> Result<Vec<u32>, FormatError> {
        self.quantity_names()?.indices()
    }

    fn tensor_names(&self) -> Result<Names<'_>, FormatError> {
        self.names("tensor", |name| self.manifest.tensor_index(name))
    }

    fn quantity_names(&self) -> Result<Names<'_>, FormatError> {
        self.names("quantity", |name| self.manifest.quantity_index(name))
    }

    /// A column of names: one look-up per distinct name.
    fn names(&self, column: &'static str, find: impl Fn(&str) -> Option<usize>) -> Result<Names<'_>, FormatError> {
        let names: DictionaryArray<Int32Type> = self.typed(column)?;
        let Some(values) = names.values().as_any().downcast_ref::<StringArray>().cloned() else {
            return Err(self.fault(format!("column {column} has an unexpected type")));
        };
        let known = values.iter().map(|name| name.and_then(&find).map(|index| index as u32)).collect();
        Ok(Names { source: self, column, keys: names.keys().values().clone(), values, known })
    }
}

/// A column of names that stand in the manifest.
struct Names<'a> {
    source: &'a Source<'a>,
    column: &'static str,
    /// One per row.
    keys: ScalarBuffer<i32>,
    values: StringArray,
    /// The index into the manifest of each of `values`.
    known: Vec<Option<u32>>,
}

impl Names<'_> {
    /// The index into the manifest of a row's name.
    fn index(&self, row: usize) -> Result<u32, FormatError> {
        let key = self.keys[row] as usize;
        self.known.get(key).copied().flatten().ok_or_else(|| {
            let name = if key < self.values.len() { self.values.value(key) } else { "" };
            self.source.fault(format!("{} {name:?} is not in the manifest", self.column))
        })
    }

    fn indices(&self) -> Result<Vec<u32>, FormatError> {
        (0..self.keys.len()).map(|row| self.index(row)).collect()
    }
}

/// Rows one after the other with the same three keys.
fn segments<K: Copy + PartialEq>(step: &[i64], tensor: &[K], quantity: &[K]) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    // Where the present value of each key ends, so that each column is looked at once.
    let (mut step_end, mut tensor_end, mut quantity_end) = (0, 0, 0);
    let mut start = 0;
    while start < step.len() {
        extend_run(step, start, &mut step_end);
        extend_run(tensor, start, &mut tensor_end);
        extend_run(quantity, start, &mut quantity_end);
        let end = step_end.min(tensor_end).min(quantity_end);
        segments.push(start..end);
        start = end;
    }
    segments
}

/// Moves `end`, if it has been reached, to where the values from `start` on cease to be the same.
fn extend_run<K: Copy + PartialEq>(values: &[K], start: usize, end: &mut usize) {
    /// Rows compared without a branch in between.
    const CHUNK: usize = 64;
    if start < *end {
        return;
    }
    let (first, rest) = (values[start], &values[start..]);
    let is_uniform = |chunk: &&[K]| chunk.iter().fold(0, |differs, value| differs | u8::from(*value != first)) == 0;
    let uniform: usize = rest.chunks(CHUNK).take_while(is_uniform).map(<[K]>::len).sum();
    *end = start + uniform + rest[uniform..].iter().take_while(|value| **value == first).count();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prop_segments_are_the_runs_of_equal_keys(
            runs in prop::collection::vec((1i64..3, 0u32..2, 0u32..2, 1usize..200), 0..20),
        ) {
            let repeat = |&(step, tensor, quantity, len)| std::iter::repeat_n((step, tensor, quantity), len);
            let rows: Vec<(i64, u32, u32)> = runs.iter().flat_map(repeat).collect();
            let step: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let tensor: Vec<u32> = rows.iter().map(|row| row.1).collect();
            let quantity: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let mut expected: Vec<Range<usize>> = Vec::new();
            for row in 0..rows.len() {
                match expected.last_mut() {
                    Some(last) if rows[last.start] == rows[row] => last.end = row + 1,
                    _ => expected.push(row..row + 1),
                }
            }
            prop_assert_eq!(segments(&step, &tensor, &quantity), expected);
        }
    }
}

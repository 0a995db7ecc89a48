//! Decoded rows of a run as plain columns: names become indices into the manifest.

use std::path::Path;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array,
    Int64Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
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
    pub magnitude: Vec<f32>,
    /// Whether the value is below zero; false where signs were not kept.
    pub negative: BooleanBuffer,
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
        let magnitude: PrimitiveArray<Float32Type> = source.primitive("magnitude")?;
        let magnitude = match magnitude.null_count() {
            0 => magnitude.values().to_vec(),
            _ => magnitude.iter().map(|value| value.unwrap_or(f32::NAN)).collect(),
        };
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
            magnitude,
            negative,
        })
    }
}

impl HistogramBatch {
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

    fn tensors(&self) -> Result<Vec<u32>, FormatError> {
        let tensors = &self.manifest.tensors;
        self.indices("tensor", |name| tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok())
    }

    fn quantities(&self) -> Result<Vec<u32>, FormatError> {
        let quantities = &self.manifest.quantities;
        self.indices("quantity", |name| quantities.iter().position(|quantity| quantity == name))
    }

    /// A column of names as indices into the manifest: one look-up per distinct name.
    fn indices(&self, column: &str, find: impl Fn(&str) -> Option<usize>) -> Result<Vec<u32>, FormatError> {
        let names: DictionaryArray<Int32Type> = self.typed(column)?;
        let Some(values) = names.values().as_any().downcast_ref::<StringArray>() else {
            return Err(self.fault(format!("column {column} has an unexpected type")));
        };
        let known: Vec<Option<usize>> = values.iter().map(|name| name.and_then(&find)).collect();
        let unknown = |key: usize| {
            let name = if key < values.len() { values.value(key) } else { "" };
            self.fault(format!("{column} {name:?} is not in the manifest"))
        };
        let index = |&key: &i32| {
            let index = known.get(key as usize).copied().flatten();
            index.map(|index| index as u32).ok_or_else(|| unknown(key as usize))
        };
        names.keys().values().iter().map(index).collect()
    }
}

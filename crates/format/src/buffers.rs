//! Rows waiting to be published, one set of columns per table.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};

use crate::manifest::Manifest;
use crate::schema::Table;
use crate::writer::{Observation, StepRecord};

/// The rows of every table since the last flush.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) magnitudes: Magnitudes,
    pub(crate) histograms: Histograms,
    pub(crate) tensors: Tensors,
    pub(crate) steps: Steps,
}

/// A table's rows and the first and last step among them; `None` if it has none.
pub(crate) type Rows = Option<(RecordBatch, (i64, i64))>;

impl Buffers {
    /// Rows of the longest table.
    pub(crate) fn longest(&self) -> usize {
        self.magnitudes.element.len().max(self.histograms.bin.len()).max(self.tensors.numel.len())
    }

    /// Every table's rows, in the order of publication: `steps` last.
    pub(crate) fn into_rows(self, manifest: &Manifest) -> [(Table, Rows); 4] {
        let names = Names {
            tensors: Arc::new(StringArray::from_iter_values(manifest.tensors.iter().map(|tensor| &tensor.name))),
            quantities: Arc::new(StringArray::from_iter_values(&manifest.quantities)),
        };
        [
            (Table::Magnitudes, self.magnitudes.into_rows(&names)),
            (Table::Histograms, self.histograms.into_rows(&names)),
            (Table::Tensors, self.tensors.into_rows(&names)),
            (Table::Steps, self.steps.into_rows()),
        ]
    }
}

/// The dictionaries that the key columns refer to.
struct Names {
    tensors: ArrayRef,
    quantities: ArrayRef,
}

/// The columns that three tables share; names are indices into the manifest.
#[derive(Default)]
struct Keys {
    step: Vec<i64>,
    tensor: Vec<i32>,
    quantity: Vec<i32>,
}

impl Keys {
    fn push(&mut self, step: i64, observation: &Observation, n_rows: usize) {
        let len = self.step.len() + n_rows;
        self.step.resize(len, step);
        self.tensor.resize(len, observation.tensor as i32);
        self.quantity.resize(len, observation.quantity as i32);
    }

    fn into_columns(self, names: &Names) -> Vec<ArrayRef> {
        let dictionary = |keys: Vec<i32>, values: &ArrayRef| -> ArrayRef {
            // The keys are indices that the writer's own manifest gave out.
            Arc::new(DictionaryArray::new(Int32Array::from(keys), values.clone()))
        };
        vec![
            Arc::new(Int64Array::from(self.step)),
            dictionary(self.tensor, &names.tensors),
            dictionary(self.quantity, &names.quantities),
        ]
    }
}

/// Rows of `magnitudes`.
#[derive(Default)]
pub(crate) struct Magnitudes {
    keys: Keys,
    element: Vec<i64>,
    magnitude: Vec<Option<f32>>,
    negative: Vec<bool>,
}

impl Magnitudes {
    /// Takes a range of the recorded elements of an observation, which has a sample.
    pub(crate) fn push(&mut self, step: i64, observation: &Observation, range: Range<usize>) {
        let Some(sample) = &observation.sample else { return };
        self.keys.push(step, observation, range.len());
        self.element.extend_from_slice(&sample.elements[range.clone()]);
        for value in &sample.values[range] {
            self.magnitude.push((!value.is_nan()).then_some(value.abs()));
            self.negative.push(*value < 0.0);
        }
    }

    fn into_rows(self, names: &Names) -> Rows {
        let steps = first_and_last(&self.keys.step)?;
        let mut columns = self.keys.into_columns(names);
        columns.extend::<[ArrayRef; 3]>([
            Arc::new(Int64Array::from(self.element)),
            Arc::new(Float32Array::from(self.magnitude)),
            Arc::new(BooleanArray::from(self.negative)),
        ]);
        Some((batch(Table::Magnitudes, columns), steps))
    }
}

/// Rows of `histograms`.
#[derive(Default)]
pub(crate) struct Histograms {
    keys: Keys,
    bin: Vec<i32>,
    count: Vec<i64>,
}

impl Histograms {
    /// Takes the non-empty bins of an observation.
    pub(crate) fn push(&mut self, step: i64, observation: &Observation) {
        let before = self.bin.len();
        for (bin, count) in observation.histogram.bins() {
            self.bin.push(bin);
            self.count.push(count as i64);
        }
        self.keys.push(step, observation, self.bin.len() - before);
    }

    fn into_rows(self, names: &Names) -> Rows {
        let steps = first_and_last(&self.keys.step)?;
        let mut columns = self.keys.into_columns(names);
        columns.extend::<[ArrayRef; 2]>([Arc::new(Int32Array::from(self.bin)), Arc::new(Int64Array::from(self.count))]);
        Some((batch(Table::Histograms, columns), steps))
    }
}

/// Rows of `tensors`.
#[derive(Default)]
pub(crate) struct Tensors {
    keys: Keys,
    numel: Vec<i64>,
    zeros: Vec<i64>,
    nan: Vec<i64>,
    pos_inf: Vec<i64>,
    neg_inf: Vec<i64>,
    min_nonzero: Vec<Option<f32>>,
    max: Vec<Option<f32>>,
    sum_of_squares: Vec<f64>,
}

impl Tensors {
    /// Takes the one row of an observation.
    pub(crate) fn push(&mut self, step: i64, observation: &Observation) {
        let (histogram, summary) = (&observation.histogram, &observation.summary);
        self.keys.push(step, observation, 1);
        self.numel.push(histogram.numel() as i64);
        self.zeros.push(histogram.zeros() as i64);
        self.nan.push(histogram.nan() as i64);
        self.pos_inf.push(histogram.pos_inf() as i64);
        self.neg_inf.push(histogram.neg_inf() as i64);
        self.min_nonzero.push(summary.min_nonzero);
        self.max.push(summary.max);
        self.sum_of_squares.push(summary.sum_of_squares);
    }

    fn into_rows(self, names: &Names) -> Rows {
        let steps = first_and_last(&self.keys.step)?;
        let mut columns = self.keys.into_columns(names);
        for integers in [self.numel, self.zeros, self.nan, self.pos_inf, self.neg_inf] {
            columns.push(Arc::new(Int64Array::from(integers)));
        }
        columns.push(Arc::new(Float32Array::from(self.min_nonzero)));
        columns.push(Arc::new(Float32Array::from(self.max)));
        columns.push(Arc::new(Float64Array::from(self.sum_of_squares)));
        Some((batch(Table::Tensors, columns), steps))
    }
}

/// Rows of `steps`.
#[derive(Default)]
pub(crate) struct Steps {
    step: Vec<i64>,
    epoch: Vec<Option<i32>>,
    time: Vec<i64>,
    loss: Vec<Option<f64>>,
    learning_rate: Vec<Option<f64>>,
    loss_scale: Vec<Option<f64>>,
}

impl Steps {
    /// Takes the one row of a step.
    pub(crate) fn push(&mut self, record: &StepRecord) {
        let number = |value: Option<f64>| value.filter(|value| !value.is_nan());
        self.step.push(record.step);
        self.epoch.push(record.scalars.epoch);
        self.time.push(record.scalars.time_micros);
        self.loss.push(number(record.scalars.loss));
        self.learning_rate.push(number(record.scalars.learning_rate));
        self.loss_scale.push(number(record.scalars.loss_scale));
    }

    fn into_rows(self) -> Rows {
        let steps = first_and_last(&self.step)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.step)),
            Arc::new(Int32Array::from(self.epoch)),
            Arc::new(TimestampMicrosecondArray::from(self.time).with_timezone("UTC")),
            Arc::new(Float64Array::from(self.loss)),
            Arc::new(Float64Array::from(self.learning_rate)),
            Arc::new(Float64Array::from(self.loss_scale)),
        ];
        Some((batch(Table::Steps, columns), steps))
    }
}

fn first_and_last(steps: &[i64]) -> Option<(i64, i64)> {
    Some((*steps.first()?, *steps.last()?))
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(table.arrow_schema(), columns).expect("columns are built in the order of the schema")
}

//! Rows waiting to be published, table by table.

use std::ops::Range;

use parquet::data_type::{BoolType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;

use crate::key_column::Key;
use crate::manifest::Manifest;
use crate::part_encoder::PartEncoder;
use crate::record::{Observation, Sample, StepRecord, StepScalars};
use crate::schema::{MAX_NAME_BYTES, Table};

/// The rows of every table since the last flush.
#[derive(Default)]
pub(crate) struct Buffers {
    magnitudes: Magnitudes,
    histograms: Histograms,
    tensors: Tensors,
    scalars: Scalars,
    steps: Steps,
}

impl Buffers {
    /// Takes everything of a step.
    pub(crate) fn push(&mut self, record: StepRecord, manifest: &Manifest) {
        let step = record.step;
        for observation in record.observations {
            if manifest.histograms_hold(observation.quantity) {
                self.histograms.push(step, &observation);
            }
            self.tensors.push(step, &observation);
            self.magnitudes.push(step, observation);
        }
        self.push_scalars(step, record.user_scalars);
        self.steps.rows.push((step, record.scalars));
    }

    pub(crate) fn push_scalars(&mut self, step: i64, scalars: Vec<(String, f64)>) {
        self.scalars.rows.extend(scalars.into_iter().map(|(name, value)| (step, shortened(name), value)));
    }

    /// Rows of the longest table.
    pub(crate) fn longest(&self) -> usize {
        self.tables().into_iter().map(TableRows::len).max().unwrap_or(0)
    }

    /// Steps whose rows are all here.
    pub(crate) fn n_steps(&self) -> usize {
        self.steps.rows.len()
    }

    /// The tables in the order of publication: `steps` last.
    pub(crate) fn tables(&self) -> [&dyn TableRows; 5] {
        [&self.magnitudes, &self.histograms, &self.tensors, &self.scalars, &self.steps]
    }
}

/// What the tables have in common.
pub(crate) trait TableRows {
    fn table(&self) -> Table;
    fn len(&self) -> usize;
    /// The step of a row.
    fn step(&self, row: usize) -> i64;
    /// Hands over the columns of some rows.
    fn encode(&self, rows: Range<usize>, manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError>;
}

/// Rows with the same step, tensor and quantity, the last two as indices into the manifest.
#[derive(Clone, Copy)]
struct Run {
    step: i64,
    tensor: usize,
    quantity: usize,
    /// The row after the last.
    end: usize,
}

/// The columns that three tables share.
#[derive(Default)]
struct Keys {
    runs: Vec<Run>,
}

impl Keys {
    fn push(&mut self, step: i64, observation: &Observation, n_rows: usize) {
        if n_rows > 0 {
            let Observation { tensor, quantity, .. } = *observation;
            self.runs.push(Run { step, tensor, quantity, end: self.len() + n_rows });
        }
    }

    fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// The run that a row is in.
    fn index(&self, row: usize) -> usize {
        self.runs.partition_point(|run| run.end <= row)
    }

    fn step(&self, row: usize) -> i64 {
        self.runs[self.index(row)].step
    }

    /// The runs of some rows, each with those rows.
    fn within(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let first = self.index(rows.start);
        let start = |index: usize| if index == 0 { 0 } else { self.runs[index - 1].end };
        (first..self.runs.len())
            .map(move |index| (index, start(index).max(rows.start)..self.runs[index].end.min(rows.end)))
            .take_while(|(_, rows)| !rows.is_empty())
    }

    fn encode(&self, rows: &Range<usize>, manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        let runs = || self.within(rows.clone()).map(|(index, rows)| (self.runs[index], rows.len()));
        part.keys(runs().map(|(run, len)| (Key::Number(run.step), len)))?;
        part.keys(runs().map(|(run, len)| (Key::Name(&manifest.tensors[run.tensor].name), len)))?;
        part.keys(runs().map(|(run, len)| (Key::Name(&manifest.quantities[run.quantity]), len)))
    }
}

/// Rows of `magnitudes`; the values stay where the recorder put them until they are encoded.
#[derive(Default)]
struct Magnitudes {
    keys: Keys,
    /// One per run of keys.
    samples: Vec<Sample>,
}

impl Magnitudes {
    fn push(&mut self, step: i64, mut observation: Observation) {
        if let Some(sample) = observation.sample.take().filter(|sample| !sample.values.is_empty()) {
            self.keys.push(step, &observation, sample.values.len());
            self.samples.push(sample);
        }
    }

    /// The samples of some rows, each with its rows counted from its own first.
    fn within(&self, rows: &Range<usize>) -> impl Iterator<Item = (&Sample, Range<usize>)> {
        self.keys.within(rows.clone()).map(|(index, rows)| {
            let sample = &self.samples[index];
            let first = self.keys.runs[index].end - sample.values.len();
            (sample, rows.start - first..rows.end - first)
        })
    }
}

impl TableRows for Magnitudes {
    fn table(&self) -> Table {
        Table::Magnitudes
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn step(&self, row: usize) -> i64 {
        self.keys.step(row)
    }

    fn encode(&self, rows: Range<usize>, manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        self.keys.encode(&rows, manifest, part)?;
        let mut elements = Vec::with_capacity(rows.len());
        self.within(&rows).for_each(|(sample, rows)| sample.elements.extend_into(rows, &mut elements));
        part.required::<Int64Type>(&elements)?;
        drop(elements);
        let mut values: Vec<f32> = Vec::with_capacity(rows.len());
        self.within(&rows).for_each(|(sample, rows)| values.extend_from_slice(&sample.values[rows]));
        let negative: Vec<bool> = values.iter().map(|value| *value < 0.0).collect();
        for value in &mut values {
            *value = f32::abs(*value);
        }
        part.nullable::<FloatType>(values, |value| !value.is_nan())?;
        part.nullable::<BoolType>(negative, |_| manifest.signs)
    }
}

/// Rows of `histograms`.
#[derive(Default)]
struct Histograms {
    keys: Keys,
    bin: Vec<i32>,
    count: Vec<i64>,
}

impl Histograms {
    fn push(&mut self, step: i64, observation: &Observation) {
        let before = self.bin.len();
        for (bin, count) in observation.histogram.bins() {
            self.bin.push(bin);
            self.count.push(count as i64);
        }
        self.keys.push(step, observation, self.bin.len() - before);
    }
}

impl TableRows for Histograms {
    fn table(&self) -> Table {
        Table::Histograms
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn step(&self, row: usize) -> i64 {
        self.keys.step(row)
    }

    fn encode(&self, rows: Range<usize>, manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        self.keys.encode(&rows, manifest, part)?;
        part.required::<Int32Type>(&self.bin[rows.clone()])?;
        part.required::<Int64Type>(&self.count[rows])
    }
}

/// Rows of `tensors`.
#[derive(Default)]
struct Tensors {
    keys: Keys,
    /// numel, zeros, nan, `pos_inf`, `neg_inf`.
    counts: [Vec<i64>; 5],
    min_nonzero: Vec<Option<f32>>,
    max: Vec<Option<f32>>,
    sum_of_squares: Vec<f64>,
}

impl Tensors {
    fn push(&mut self, step: i64, observation: &Observation) {
        let Observation { histogram, summary, .. } = observation;
        self.keys.push(step, observation, 1);
        let counts = [histogram.numel(), histogram.zeros(), histogram.nan(), histogram.pos_inf(), histogram.neg_inf()];
        for (column, count) in self.counts.iter_mut().zip(counts) {
            column.push(count as i64);
        }
        self.min_nonzero.push(summary.min_nonzero);
        self.max.push(summary.max);
        self.sum_of_squares.push(summary.sum_of_squares);
    }
}

impl TableRows for Tensors {
    fn table(&self) -> Table {
        Table::Tensors
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn step(&self, row: usize) -> i64 {
        self.keys.step(row)
    }

    fn encode(&self, rows: Range<usize>, manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        self.keys.encode(&rows, manifest, part)?;
        for column in &self.counts {
            part.required::<Int64Type>(&column[rows.clone()])?;
        }
        part.optional::<FloatType>(self.min_nonzero[rows.clone()].iter().copied())?;
        part.optional::<FloatType>(self.max[rows.clone()].iter().copied())?;
        part.required::<DoubleType>(&self.sum_of_squares[rows])
    }
}

/// Rows of `scalars`.
#[derive(Default)]
struct Scalars {
    rows: Vec<(i64, String, f64)>,
}

impl TableRows for Scalars {
    fn table(&self) -> Table {
        Table::Scalars
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn step(&self, row: usize) -> i64 {
        self.rows[row].0
    }

    fn encode(&self, rows: Range<usize>, _manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        let rows = &self.rows[rows];
        part.keys(rows.iter().map(|(step, _, _)| (Key::Number(*step), 1)))?;
        part.keys(rows.iter().map(|(_, name, _)| (Key::Name(name), 1)))?;
        part.optional::<DoubleType>(rows.iter().map(|&(_, _, value)| number(Some(value))))
    }
}

/// Rows of `steps`.
#[derive(Default)]
struct Steps {
    rows: Vec<(i64, StepScalars)>,
}

impl TableRows for Steps {
    fn table(&self) -> Table {
        Table::Steps
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn step(&self, row: usize) -> i64 {
        self.rows[row].0
    }

    fn encode(&self, rows: Range<usize>, _manifest: &Manifest, part: &mut PartEncoder<'_>) -> Result<(), ParquetError> {
        let rows = &self.rows[rows];
        let steps: Vec<i64> = rows.iter().map(|&(step, _)| step).collect();
        let scalars = || rows.iter().map(|(_, scalars)| scalars);
        part.required::<Int64Type>(&steps)?;
        part.optional::<Int32Type>(scalars().map(|scalars| scalars.epoch))?;
        let times: Vec<i64> = scalars().map(|scalars| scalars.time_micros).collect();
        part.required::<Int64Type>(&times)?;
        part.optional::<DoubleType>(scalars().map(|scalars| number(scalars.loss)))?;
        part.optional::<DoubleType>(scalars().map(|scalars| number(scalars.learning_rate)))?;
        part.optional::<DoubleType>(scalars().map(|scalars| number(scalars.loss_scale)))?;
        let overflows: Vec<bool> = scalars().map(|scalars| scalars.overflow).collect();
        part.required::<BoolType>(&overflows)
    }
}

/// As much of a name as is kept.
fn shortened(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    name
}

/// NaN stands in no column.
fn number(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan())
}

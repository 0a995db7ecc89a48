//! Magnitudes taken straight from pages, against the rows that the Parquet library decodes.

use std::path::Path;

use epsiloscope_format::{
    CompactOptions, Elements, Run, Sample, Segment, StepRecord, StepScalars, Table, WriterOptions, compact,
};
use epsiloscope_histogram::{Histogram, Summary};
use proptest::prelude::*;

use crate::synthetic::Synthetic;

/// A row with its magnitude's bits: NaN equals itself.
type Row = (i64, u32, u32, u32);

/// Step by step, each tensor's values.
type Steps = Vec<Vec<Vec<f32>>>;

fn write(dir: &Path, steps: &Steps, flush_rows: usize) {
    let synthetic = Synthetic {
        steps: 0,
        critical_epsilon: None,
        options: WriterOptions { flush_rows, flush_secs: 1e9 },
        ..Synthetic::default()
    };
    let mut writer = synthetic.write_unfinished(dir);
    for (step, tensors) in (1..).zip(steps) {
        let observation = |(tensor, values): (usize, &Vec<f32>)| epsiloscope_format::Observation {
            tensor,
            quantity: 0,
            histogram: Histogram::default(),
            summary: Summary::of(values),
            sample: Some(Sample { elements: Elements::From(0), values: values.clone() }),
        };
        let observations = tensors.iter().enumerate().map(observation).collect();
        let scalars = StepScalars { epoch: Some(1), ..StepScalars::default() };
        writer.append(StepRecord { step, scalars, user_scalars: Vec::new(), observations }).unwrap();
    }
    writer.finish().unwrap();
}

/// As the Parquet library decodes them.
fn decoded(run: &Run) -> Vec<Row> {
    let batches = run.magnitudes().map(Result::unwrap);
    let rows = batches.flat_map(|batch| {
        let row = |row: usize| {
            (batch.step.value(row), batch.tensor[row], batch.quantity[row], canonical(batch.magnitude[row]))
        };
        (0..batch.step.len()).map(row).collect::<Vec<Row>>()
    });
    rows.collect()
}

fn from_pages(run: &Run) -> Vec<Row> {
    let values = run.parts_at(Table::Magnitudes, &(0..=i64::MAX)).into_iter().map(|part| part.values().unwrap());
    let rows = values.flat_map(|values| {
        let row = |segment: &Segment| {
            let Segment { step, tensor, quantity, rows } = segment.clone();
            assert!(!rows.is_empty());
            values.magnitude[rows].iter().map(move |&it| (step, tensor, quantity, canonical(it))).collect::<Vec<Row>>()
        };
        let neighbours = values.segments.windows(2).map(|pair| (&pair[0], &pair[1]));
        for (last, next) in neighbours {
            assert_eq!(last.rows.end, next.rows.start);
            assert!((last.step, last.tensor, last.quantity) < (next.step, next.tensor, next.quantity));
        }
        values.segments.iter().flat_map(row).collect::<Vec<Row>>()
    });
    rows.collect()
}

fn canonical(magnitude: f32) -> u32 {
    if magnitude.is_nan() { f32::NAN.to_bits() } else { magnitude.to_bits() }
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![6 => -1e3f32..1e3, 1 => Just(0.0), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_values_are_the_rows_without_elements_and_signs(
        steps in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any_value(), 0..60), 4), 1..12),
        flush_rows in 1usize..400,
        part_rows in 1u64..2000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("run");
        write(&dir, &steps, flush_rows);
        let run = Run::open(&dir).unwrap();
        let expected = decoded(&run);
        prop_assert_eq!(expected.len(), steps.iter().flatten().map(Vec::len).sum::<usize>());
        prop_assert_eq!(&from_pages(&run), &expected);
        compact(&dir, CompactOptions { part_rows }).unwrap();
        prop_assert_eq!(&from_pages(&Run::open(&dir).unwrap()), &expected);
    }
}

#[test]
fn values_of_many_pages_and_steps_are_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run");
    let step = |step: usize| (0..4).map(|tensor| vec![step as f32 + 0.5; if tensor == 2 { 3 } else { 0 }]).collect();
    let mut steps: Steps = (0..30_000).map(step).collect();
    steps.push(vec![vec![1.0; 8], vec![2.0; 72], vec![0.25; 70_000], vec![f32::NAN; 5]]);
    write(&dir, &steps, 1 << 20);
    let run = Run::open(&dir).unwrap();
    assert_eq!(from_pages(&run), decoded(&run));
}

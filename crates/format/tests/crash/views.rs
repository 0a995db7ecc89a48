//! A run read back in two ways, and compared with what must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use epsiloscope_format::{FormatError, Run, Table};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::recording::{entries, rows};

/// Rows as text, table by table and step by step.
type View = BTreeMap<Table, BTreeMap<i64, Vec<String>>>;

fn put(view: &mut View, table: Table, step: i64, row: String) {
    view.entry(table).or_default().entry(step).or_default().push(row);
}

/// What must be there of whole steps.
fn wanted(steps: &BTreeSet<i64>) -> View {
    let of_table = |table| steps.iter().map(|&step| (step, rows(table, step))).collect();
    Table::ALL.into_iter().filter(|_table| !steps.is_empty()).map(|table| (table, of_table(table))).collect()
}

/// What [`Run`] reads; nothing of a run that does not begin yet.
fn checked(dir: &Path) -> View {
    let mut view = View::new();
    let run = match Run::open(dir) {
        Err(FormatError::Empty { .. } | FormatError::NotARun { .. } | FormatError::NoDirectory { .. }) => return view,
        run => run.expect("the run can be opened"),
    };
    let tensor = |index: u32| &run.manifest().tensors[index as usize].name;
    let quantity = |index: u32| &run.manifest().quantities[index as usize];
    let mut add = |table, step, rest: String| put(&mut view, table, step, format!("{step} {rest}"));
    for batch in run.magnitudes().map(|batch| batch.expect("magnitudes can be read")) {
        for row in 0..batch.step.len() {
            let key = format!("{} {}", tensor(batch.tensor[row]), quantity(batch.quantity[row]));
            let (element, magnitude) = (batch.element.value(row), batch.magnitude[row]);
            let rest = format!("{key} {element} {magnitude:?} {}", batch.negative.value(row));
            add(Table::Magnitudes, batch.step.value(row), rest);
        }
    }
    for batch in run.histograms().map(|batch| batch.expect("histograms can be read")) {
        for row in 0..batch.step.len() {
            let key = format!("{} {}", tensor(batch.tensor[row]), quantity(batch.quantity[row]));
            let rest = format!("{key} {} {}", batch.bin.value(row), batch.count.value(row));
            add(Table::Histograms, batch.step.value(row), rest);
        }
    }
    for batch in run.tensors().map(|batch| batch.expect("tensors can be read")) {
        for row in 0..batch.step.len() {
            let key = format!("{} {}", tensor(batch.tensor[row]), quantity(batch.quantity[row]));
            let counts = [&batch.numel, &batch.zeros, &batch.nan, &batch.pos_inf, &batch.neg_inf];
            let counts = counts.map(|column| column.value(row).to_string()).join(" ");
            let (min, max) = (batch.min_nonzero.value(row), batch.max.value(row));
            let rest = format!("{key} {counts} {min:?} {max:?} {:?}", batch.sum_of_squares.value(row));
            add(Table::Tensors, batch.step.value(row), rest);
        }
    }
    for batch in run.scalars().map(|batch| batch.expect("scalars can be read")) {
        for (row, name) in batch.name.iter().enumerate() {
            add(Table::Scalars, batch.step.value(row), format!("{name} {:?}", batch.value.value(row)));
        }
    }
    for batch in run.steps().map(|batch| batch.expect("steps can be read")) {
        for row in 0..batch.step.len() {
            let (epoch, time, loss) = (batch.epoch.value(row), batch.time.value(row), batch.loss.value(row));
            add(
                Table::Steps,
                batch.step.value(row),
                format!("{epoch} {time} {loss:?}   {}", batch.overflow.value(row)),
            );
        }
    }
    view
}

/// What `<table>/*.parquet` holds.
fn globbed(dir: &Path) -> View {
    let mut view = View::new();
    for table in Table::ALL {
        let files = entries(&dir.join(table.name()));
        for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
            for batch in read_parquet(path) {
                let step = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().expect("steps").values();
                let rows = text(&batch);
                step.iter().zip(rows).for_each(|(&step, row)| put(&mut view, table, step, row));
            }
        }
    }
    view
}

fn read_parquet(path: &Path) -> Vec<RecordBatch> {
    let bytes = std::fs::read(path).expect("the file can be read");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .and_then(ParquetRecordBatchReaderBuilder::build);
    let reader = reader.unwrap_or_else(|fault| panic!("{} must open: {fault}", path.display()));
    reader.map(|batch| batch.unwrap_or_else(|fault| panic!("{} must be whole: {fault}", path.display()))).collect()
}

/// Rows with their values set apart by spaces; a null is nothing.
fn text(batch: &RecordBatch) -> Vec<String> {
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _));
    let plain = |column: &arrow::array::ArrayRef| match column.data_type() {
        data_type if is_time(data_type) => cast(column, &DataType::Int64).expect("times are integers"),
        _ => column.clone(),
    };
    let columns: Vec<_> = batch.columns().iter().map(plain).collect();
    let options = FormatOptions::new();
    let formatter = |column| ArrayFormatter::try_new(column, &options).expect("a column that has a text");
    let columns: Vec<_> = columns.iter().map(|column| formatter(column.as_ref())).collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

/// The steps that [`Run`] sees, each of which must be whole.
pub(crate) fn read_steps(dir: &Path, context: &str) -> BTreeSet<i64> {
    let view = checked(dir);
    let steps: BTreeSet<i64> = view.values().flat_map(|steps| steps.keys().copied()).collect();
    assert_eq!(view, wanted(&steps), "{context}: steps as Run reads them");
    steps
}

/// Every part file must open and no row stand there twice or altered; `whole` steps must be there entirely.
pub(crate) fn assert_globbed(dir: &Path, whole: &BTreeSet<i64>, context: &str) {
    let view = globbed(dir);
    for table in Table::ALL {
        for (&step, found) in view.get(&table).into_iter().flatten() {
            let wanted: BTreeSet<String> = rows(table, step).into_iter().collect();
            let distinct: BTreeSet<String> = found.iter().cloned().collect();
            assert_eq!(distinct.len(), found.len(), "{context}: {table:?} has rows of step {step} twice");
            assert!(distinct.is_subset(&wanted), "{context}: {table:?} has other rows of step {step}: {found:?}");
        }
        for &step in whole {
            let found = view.get(&table).and_then(|steps| steps.get(&step));
            assert_eq!(found, Some(&rows(table, step)), "{context}: {table:?} lacks rows of step {step}");
        }
    }
}

/// Both readers must see these steps, whole, and nothing else; and nothing may lie about.
pub(crate) fn assert_exactly(dir: &Path, steps: impl IntoIterator<Item = i64>, context: &str) {
    let steps: BTreeSet<i64> = steps.into_iter().collect();
    assert_eq!(read_steps(dir, context), steps, "{context}: steps read");
    assert_eq!(globbed(dir), wanted(&steps), "{context}: rows in the tables' folders");
    assert_eq!(temporaries(dir), Vec::<PathBuf>::new(), "{context}: temporary files");
}

/// Files under temporary names.
pub(crate) fn temporaries(dir: &Path) -> Vec<PathBuf> {
    let folders = Table::ALL.iter().map(|table| dir.join(table.name())).chain([dir.to_owned()]);
    let is_temporary = |path: &PathBuf| path.to_string_lossy().contains(".tmp-");
    folders.flat_map(|folder| entries(&folder)).filter(is_temporary).collect()
}

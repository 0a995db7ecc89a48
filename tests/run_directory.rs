//! Written, read back, the same; and what a crash leaves is a prefix.

use std::collections::BTreeMap;
use std::path::PathBuf;

use epsiloscope_format::{FormatError, Run, RunWriter, Table, WriterOptions};
use epsiloscope_histogram::bins::bin_of;

use crate::synthetic::Synthetic;

#[test]
fn magnitudes_read_back_are_the_gradients_written() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = Synthetic { sample: Some(50), ..Synthetic::default() };
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    let mut n_rows = 0;
    for batch in run.magnitudes() {
        let batch = batch.unwrap();
        for row in 0..batch.magnitude.len() {
            let gradients = synthetic.gradients(batch.tensor[row] as usize, batch.step.value(row));
            let gradient = gradients[batch.element.value(row) as usize];
            assert_eq!(batch.magnitude[row].to_bits(), gradient.abs().to_bits());
            assert_eq!(batch.negative.value(row), gradient < 0.0);
            n_rows += 1;
        }
    }
    assert_eq!(n_rows, 12 * (8 + 50 + 50 + 5));
}

#[test]
fn histograms_read_back_hold_every_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = Synthetic { critical_epsilon: None, sample: Some(0), ..Synthetic::default() };
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    let mut found = BTreeMap::new();
    for batch in run.histograms() {
        let batch = batch.unwrap();
        for row in 0..batch.step.len() {
            found.insert((batch.step.value(row), batch.tensor[row], batch.bin.value(row)), batch.count.value(row));
        }
    }
    let mut expected = BTreeMap::new();
    for step in 1..=synthetic.steps {
        for tensor in 0..synthetic.tensors.len() {
            for bin in synthetic.gradients(tensor, step).into_iter().filter_map(bin_of) {
                *expected.entry((step, tensor as u32, bin)).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn part_boundaries_change_nothing_but_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let one = Synthetic::default();
    // So small that steps, and tensors inside steps, come apart.
    let many = Synthetic { options: WriterOptions { flush_rows: 701, flush_secs: 1e9 }, ..Synthetic::default() };
    let (one, many) = (one.write(&dir.path().join("a")), many.write(&dir.path().join("b")));
    let (one, many) = (Run::open(&one).unwrap(), Run::open(&many).unwrap());
    assert_eq!(one.parts(Table::Magnitudes).count(), 1);
    assert!(many.parts(Table::Magnitudes).count() > 12);
    let rows = |run: &Run| -> Vec<(i64, u32, i64, u32)> {
        let batches = run.magnitudes().map(Result::unwrap);
        batches
            .flat_map(|batch| {
                let row = |row| {
                    (batch.step.value(row), batch.tensor[row], batch.element.value(row), batch.magnitude[row].to_bits())
                };
                (0..batch.magnitude.len()).map(row).collect::<Vec<_>>()
            })
            .collect()
    };
    assert!(rows(&one) == rows(&many));
}

#[test]
fn an_interrupted_run_is_read_up_to_its_last_complete_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-1");
    let options = WriterOptions { flush_rows: 13_000, flush_secs: 1e9 };
    let writer = Synthetic { options, ..Synthetic::default() }.write_unfinished(&path);
    std::mem::forget(writer); // as if killed: neither finished nor flushed
    let run = Run::open(&path).unwrap();
    assert!(!run.is_finished());
    assert!(0 < run.last_step() && run.last_step() < 12, "{}", run.last_step());
    let last = run.magnitudes().map(|batch| batch.unwrap().step.values().iter().copied().max().unwrap()).max();
    assert_eq!(last, Some(run.last_step()));
}

#[test]
fn files_that_no_list_names_are_reported_and_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = Synthetic::default().write(&dir.path().join("r-1"));
    let orphan = path.join("magnitudes/part-r000-00099.parquet");
    std::fs::write(&orphan, "half a part").unwrap();
    let run = Run::open(&path).unwrap();
    assert_eq!(run.orphans().unwrap(), [orphan]);
    assert!(run.magnitudes().all(|batch| batch.is_ok()));
}

#[test]
fn a_run_has_one_writer_and_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-1");
    let synthetic = Synthetic::default();
    let first = synthetic.write_unfinished(&path);
    let second = RunWriter::create(&path, first.manifest().clone(), WriterOptions::default());
    assert!(matches!(second, Err(FormatError::Locked { .. })));
    let manifest = first.manifest().clone();
    first.finish().unwrap();
    let third = RunWriter::create(&path, manifest, WriterOptions::default());
    assert!(matches!(third, Err(FormatError::AlreadyARun { .. })));
}

#[test]
fn parts_stay_small_and_their_totals_are_those_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let path = Synthetic { steps: 400, ..Synthetic::default() }.write(&dir.path().join("r-1"));
    let run = Run::open(&path).unwrap();
    let totals = run.manifest().totals.clone().unwrap();
    assert_eq!(totals.steps, 400);
    for table in Table::ALL {
        let parts: Vec<_> = run.parts(table).collect();
        let total = totals.tables[&table];
        assert!(parts.iter().all(|part| part.bytes <= 8 << 20 && part.rows <= 1_000_000));
        assert_eq!(total.parts, parts.len() as u64);
        assert_eq!(total.rows, parts.iter().map(|part| part.rows).sum::<u64>());
        assert_eq!(total.bytes, parts.iter().map(|part| part.bytes).sum::<u64>());
        let on_disk: u64 = parts.iter().map(|part| path.join(part.relative_path())).map(size).sum();
        assert_eq!(total.bytes, on_disk);
    }
}

#[test]
fn names_stay_text_for_readers_of_hive_paths() {
    let name = |dir: &str| epsiloscope_format::Manifest::name_from(dir.as_ref());
    assert_eq!(
        ["runs/mine", "runs/7", "2024-05-01", "NaN", "true"].map(name),
        ["mine", "r-7", "r-2024-05-01", "r-NaN", "r-true"]
    );
}

fn size(path: PathBuf) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

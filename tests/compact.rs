//! `epsiloscope compact`: fewer files, the same answers.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use epsiloscope_format::{Run, RunWriter, Table, WriterOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::cli::{Output, epsiloscope};
use crate::resealed::digest;
use crate::synthetic::Synthetic;

/// Parts so small that steps, and tensors inside steps, come apart.
fn scattered() -> Synthetic {
    Synthetic { options: WriterOptions { flush_rows: 701, flush_secs: 1e9 }, ..Synthetic::default() }
}

/// Everything that the program says about a run, but for the files it is in.
fn answers(run: &Path) -> Vec<String> {
    let commands: [&[&str]; 7] = [
        &["estimate", "--per", "tensor"],
        &["histogram"],
        &["histogram", "--from", "magnitudes"],
        &["inspect", "--view", "tensors"],
        &["inspect", "--view", "steps"],
        &["inspect", "--view", "scalars"],
        &["verify"],
    ];
    let answer = |command: &[&str]| {
        let output = epsiloscope([command, &[run.to_str().unwrap(), "--format", "csv"]].concat());
        assert_eq!(output.stderr, "");
        output.stdout
    };
    commands.map(answer).to_vec()
}

fn compact(run: &Path, options: &[&str]) -> Output {
    let output = epsiloscope([&["compact", run.to_str().unwrap()], options].concat());
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    output
}

fn n_parts(run: &Path) -> usize {
    let run = Run::open(run).unwrap();
    Table::ALL.into_iter().map(|table| run.parts(table).count()).sum()
}

/// Puts the rows of a run's parts into parts of so many rows, as a recorder that flushes often would have.
fn scatter(from: &Path, to: &Path, rows: usize) {
    let run = Run::open(from).unwrap();
    fs::create_dir(to).unwrap();
    let mut parts = Vec::new();
    for table in Table::ALL {
        fs::create_dir(to.join(table.name())).unwrap();
        for part in run.parts(table) {
            let file = fs::File::open(from.join(part.relative_path())).unwrap();
            for batch in ParquetRecordBatchReader::try_new(file, rows).unwrap().map(Result::unwrap) {
                let file = format!("part-r000-{:05}.parquet", parts.len());
                let bytes = encoded(&batch);
                let steps = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap().values();
                parts.push(serde_json::json!({
                    "table": table.name(), "file": file, "rows": batch.num_rows(), "bytes": bytes.len(),
                    "first_step": steps[0], "last_step": steps[steps.len() - 1], "digest": digest(&bytes),
                }));
                fs::write(to.join(table.name()).join(file), bytes).unwrap();
            }
        }
    }
    fs::copy(from.join("run.json"), to.join("run.json")).unwrap();
    let commit = serde_json::json!({
        "generation": 0, "through": run.last_step(), "dropped_steps": 0, "parts": parts,
    });
    let line = format!("{{\"commit\":{commit},\"digest\":\"{}\"}}\n", digest(commit.to_string().as_bytes()));
    fs::write(to.join("parts-r000.jsonl"), line).unwrap();
}

fn encoded(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn answers_are_the_same_to_the_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    for (name, synthetic) in [
        ("one", scattered()),
        ("three", Synthetic { ranks: 3, ..scattered() }),
        ("sampled", Synthetic { sample: Some(50), overflows: vec![3], dropped: vec![5], ..scattered() }),
    ] {
        let run = synthetic.write(&dir.path().join(name));
        let (before, n_before) = (answers(&run), n_parts(&run));
        compact(&run, &[]);
        assert!(before.iter().all(|answer| answer.lines().count() > 0) && n_parts(&run) * 4 < n_before, "{n_before}");
        assert_eq!(answers(&run), before, "{name}");
        assert!(Run::open(&run).unwrap().orphans().unwrap().is_empty());
    }
}

#[test]
fn real_runs_give_the_same_answers() {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/runs"));
    let dir = tempfile::tempdir().unwrap();
    for name in ["cnn-training", "mlp-rmsprop"] {
        let run = dir.path().join(name);
        scatter(&data.join(name), &run, 5000);
        let before = answers(&data.join(name));
        let n_before = n_parts(&run);
        compact(&run, &[]);
        assert!(20 < n_before && n_parts(&run) < 6, "{n_before}");
        assert_eq!(answers(&run), before, "{name}");
    }
}

#[test]
fn what_was_done_is_told_and_a_dry_run_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = scattered().write(&dir.path().join("r-1"));
    let n_before = n_parts(&run);
    let table = |output: &Output| serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap();
    let plan = table(&compact(&run, &["--dry-run", "--format", "json"]));
    assert_eq!(n_parts(&run), n_before);
    let done = table(&compact(&run, &["--format", "json"]));
    let n_after = |rows: &serde_json::Value| {
        rows.as_array().unwrap().iter().map(|row| row["parts_after"].as_u64().unwrap() as usize).sum::<usize>()
    };
    assert_eq!((n_after(&plan), n_after(&done), n_parts(&run)), (5, 5, 5));
    for (plan, done) in plan.as_array().unwrap().iter().zip(done.as_array().unwrap()) {
        assert!(plan["bytes_after"].is_null() && plan["rows"] == done["rows"]);
        assert!(done["bytes_after"].as_u64() < done["bytes_before"].as_u64(), "{done}");
        assert_eq!((&plan["parts_before"], &plan["bytes_before"]), (&done["parts_before"], &done["bytes_before"]));
    }
    let again = table(&compact(&run, &["--format", "json"]));
    assert_eq!((n_after(&again), &again[0]["bytes_after"]), (5, &done[0]["bytes_after"]));
    assert!(compact(&run, &[]).stdout.contains("parts_before"));
}

#[test]
fn parts_hold_as_many_rows_as_asked_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let run = scattered().write(&dir.path().join("r-1"));
    compact(&run, &["--part-rows", "3000"]);
    let run = Run::open(&run).unwrap();
    let rows: Vec<u64> = run.parts(Table::Magnitudes).map(|part| part.rows).collect();
    assert!(
        4 < rows.len() && rows.iter().all(|&rows| rows <= 3000) && rows.windows(2).all(|two| 3000 < two[0] + two[1])
    );
}

#[test]
fn a_run_that_is_being_recorded_is_refused_and_an_interrupted_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r-1");
    let mut writer = Synthetic { steps: 8, ..scattered() }.write_unfinished(&run);
    writer.flush().unwrap();
    let n_before = n_parts(&run);
    let refused = epsiloscope(["compact".as_ref(), run.as_os_str()]);
    assert_eq!((refused.status, refused.stderr.lines().count(), n_parts(&run)), (2, 1, n_before));
    assert!(refused.stderr.contains("locked by another recorder"), "{}", refused.stderr);
    drop(writer);
    compact(&run, &[]);
    assert_eq!(n_parts(&run), 5);
    // The moments of a resumed recording are its own affair; a run without them is compared.
    let plain = Synthetic { critical_epsilon: None, ..scattered() };
    let (run, whole) = (dir.path().join("resumed"), plain.write(&dir.path().join("whole/resumed")));
    Synthetic { steps: 8, ..plain.clone() }.write_unfinished(&run).flush().unwrap();
    compact(&run, &[]);
    let mut writer = RunWriter::resume(&run, &plain.manifest(&run), 6, true, plain.options).unwrap();
    plain.append(&mut writer, 0, 7..=12);
    writer.finish().unwrap();
    compact(&run, &[]);
    let (mut resumed, mut whole) = (answers(&run), answers(&whole));
    // But for what was set aside.
    resumed.pop();
    whole.pop();
    assert_eq!(resumed, whole);
}

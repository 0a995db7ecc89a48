//! The data set: what is in it, what is computed anew, what an interruption leaves.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_format::{RunWriter, WriterOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::cli::{Output, epsiloscope};
use crate::resealed::overwrite;
use crate::synthetic::Synthetic;

/// Runs `r-0` and so on, each of another seed.
fn runs(dir: &Path, n: u64) -> PathBuf {
    for seed in 0..n {
        let synthetic = Synthetic { seed, ..Synthetic::default() };
        synthetic.write(&dir.join(format!("runs/r-{seed}")));
    }
    dir.join("runs")
}

fn analyze(runs: &Path, out: &Path, more: &[&str]) -> Output {
    let args = [OsStr::new("analyze"), runs.as_ref(), "--out".as_ref(), out.as_ref()];
    epsiloscope(args.into_iter().chain(more.iter().map(OsStr::new)))
}

/// What was done, run by run.
fn results(output: &Output) -> Vec<(String, String)> {
    let rows: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(&row["run"]), text(&row["result"]))).collect()
}

fn computed(output: &Output) -> Vec<String> {
    let computed = results(output).into_iter().filter(|(_, result)| result == "computed");
    computed.map(|(run, _)| run).collect()
}

/// Every file of the data set that readers look at.
fn files(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        // A process that is killed early enough has not even made the folder.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.insert(path.strip_prefix(out).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn read(path: &Path) -> RecordBatch {
    let mut batches = ParquetRecordBatchReader::try_new(fs::File::open(path).unwrap(), 1 << 20).unwrap();
    batches.next().unwrap().unwrap()
}

#[test]
fn the_data_set_holds_what_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let output = analyze(&runs(dir.path(), 2), &out, &[]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.contains("2 runs computed"), "{}", output.stdout);
    let listed = epsiloscope(["schema", "--format", "csv"]).stdout;
    for table in ResultTable::ALL {
        let is_per_run = ResultTable::PER_RUN.contains(&table);
        let file = out.join(table.name()).join(if is_per_run { "run=r-1/part-0.parquet" } else { "part-0.parquet" });
        if table == ResultTable::Faults {
            continue;
        }
        let batch = read(&file);
        assert!(batch.num_rows() > 0, "{}", table.name());
        let found: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        let expected: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        // The path says which run it is.
        let expected = if is_per_run { &expected[1..] } else { &expected[..] };
        assert_eq!(found, expected, "{}", table.name());
        assert!(expected.iter().all(|name| listed.contains(&format!("data set,{},{name},", table.name()))));
    }
}

#[test]
fn its_estimates_are_those_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 1);
    assert_eq!(analyze(&runs, &out, &[]).status, 0);
    let estimates = read(&out.join("estimates/run=r-0/part-0.parquet"));
    let command = [
        "estimate".as_ref(),
        runs.as_os_str(),
        "--at".as_ref(),
        "epoch".as_ref(),
        "--format".as_ref(),
        OsStr::new("json"),
    ];
    let rows: serde_json::Value = serde_json::from_str(&epsiloscope(command).stdout).unwrap();
    let text = |name: &str, row| estimates.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
    let number = |name: &str, row| {
        estimates.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::Float64Type>().value(row)
    };
    let of_run: Vec<usize> = (0..estimates.num_rows()).filter(|&row| text("scope", row) == "run").collect();
    let rows = rows.as_array().unwrap();
    assert_eq!(of_run.len(), rows.len());
    for (&row, expected) in of_run.iter().zip(rows) {
        for name in ["optimizer", "combination", "lower_tensor", "upper_tensor"] {
            assert_eq!(text(name, row), expected[name].as_str().unwrap());
        }
        for name in ["lower", "upper", "search_lower", "search_upper", "lower_boot_low"] {
            assert_eq!(number(name, row), expected[name].as_f64().unwrap());
        }
    }
}

#[test]
fn only_what_is_new_or_changed_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 2);
    let options = WriterOptions { flush_secs: 0.0, ..WriterOptions::default() };
    let growing = Synthetic { steps: 6, snapshots: vec![4], seed: 9, options, ..Synthetic::default() };
    let path = runs.join("r-growing");
    drop(growing.write_unfinished(&path));
    let json = ["--format", "json"];
    assert_eq!(computed(&analyze(&runs, &out, &json)), ["r-0", "r-1", "r-growing"]);
    let before = files(&out);
    assert_eq!(computed(&analyze(&runs, &out, &json)), [""; 0]);
    assert_eq!(files(&out), before);
    // One run goes on, one is new.
    let mut writer = RunWriter::resume(&path, &growing.manifest(&path), 6, true, growing.options).unwrap();
    growing.append(&mut writer, 0, 7..=8);
    writer.finish().unwrap();
    Synthetic { seed: 3, ..Synthetic::default() }.write(&runs.join("r-new"));
    assert_eq!(computed(&analyze(&runs, &out, &json)), ["r-growing", "r-new"]);
    let unchanged =
        |name: &Path| name.to_string_lossy().contains("run=r-0") || name.to_string_lossy().contains("run=r-1");
    let after = files(&out);
    assert!(before.iter().filter(|(name, _)| unchanged(name)).all(|(name, bytes)| after[name] == *bytes));
    // Other options are other results; what was removed comes back.
    assert_eq!(computed(&analyze(&runs, &out, &["--percentile", "0.9", "--format", "json"])).len(), 4);
    assert_eq!(computed(&analyze(&runs, &out, &json)).len(), 4);
    fs::remove_file(out.join("candidates/run=r-1/part-0.parquet")).unwrap();
    assert_eq!(computed(&analyze(&runs, &out, &json)), ["r-1"]);
    assert_eq!(files(&out), after);
}

/// As after a disk that was full, or another program's hand.
#[test]
fn files_of_another_length_are_computed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 3);
    assert_eq!(analyze(&runs, &out, &[]).status, 0);
    let before = files(&out);
    for (name, length) in [("estimates/run=r-0", 100), ("histograms/run=r-2", 100_000)] {
        let file = fs::OpenOptions::new().write(true).open(out.join(name).join("part-0.parquet")).unwrap();
        assert!(file.metadata().unwrap().len() != length);
        file.set_len(length).unwrap();
    }
    assert_eq!(computed(&analyze(&runs, &out, &["--format", "json"])), ["r-0", "r-2"]);
    assert_eq!(files(&out), before);
}

#[test]
fn histogram_replaces_no_file_of_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 1);
    assert_eq!(analyze(&runs, &out, &[]).status, 0);
    let before = files(&out);
    let histogram = |out: &Path| {
        epsiloscope([
            OsStr::new("histogram"),
            runs.as_ref(),
            "--per".as_ref(),
            "run".as_ref(),
            "--out".as_ref(),
            out.as_ref(),
        ])
    };
    let output = histogram(&out);
    assert_eq!((output.status, output.stderr.lines().count()), (2, 1));
    let told = format!("{}: a data set of `analyze`: expected another folder", out.display());
    assert!(output.stderr.contains(&told), "{}", output.stderr);
    assert_eq!(files(&out), before);
    assert_eq!(histogram(&dir.path().join("tables")).status, 0);
}

#[test]
fn a_damaged_run_is_told_and_keeps_what_was_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 2);
    assert_eq!(analyze(&runs, &out, &[]).status, 0);
    let before = files(&out);
    let manifest = runs.join("r-1/run.json");
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[40] ^= 1;
    overwrite(&manifest, &bytes);
    let output = analyze(&runs, &out, &[]);
    assert_eq!((output.status, output.stderr.lines().count()), (4, 1), "{}", output.stderr);
    assert!(output.stdout.contains("1 not answered"), "{}", output.stdout);
    let faults = read(&out.join("faults/part-0.parquet"));
    let fault = faults.column_by_name("fault").unwrap().as_string::<i32>().value(0);
    assert!(output.stderr.contains(fault) && fault.contains("run.json"), "{fault}");
    let after = files(&out);
    let of_run = before.iter().filter(|(name, _)| name.to_string_lossy().contains("run=r-1"));
    assert!(of_run.clone().count() == 5 && of_run.clone().all(|(name, bytes)| after[name] == *bytes));
}

#[test]
fn a_run_without_gradients_still_has_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let synthetic = Synthetic { sample: Some(0), critical_epsilon: None, ..Synthetic::default() };
    synthetic.write(&dir.path().join("runs/r-bare"));
    assert_eq!(analyze(&dir.path().join("runs"), &out, &[]).status, 0);
    let row = read(&out.join("runs/run=r-bare/part-0.parquet"));
    let lacks = row.column_by_name("lacks").unwrap().as_string::<i32>().value(0);
    assert!(lacks.contains("no gradients were recorded"), "{lacks}");
    assert!(out.join("histograms/run=r-bare/part-0.parquet").exists() && !out.join("estimates").exists());
}

#[test]
fn results_do_not_depend_on_threads_and_survive_kills() {
    let dir = tempfile::tempdir().unwrap();
    let runs = runs(dir.path(), 5);
    let command = |out: &Path, threads: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epsiloscope"));
        let args = [OsStr::new("analyze"), runs.as_ref(), "--out".as_ref(), out.as_ref()];
        command.args(args).env("RAYON_NUM_THREADS", threads).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let (one, four) = (dir.path().join("one"), dir.path().join("four"));
    assert!(command(&one, "1").status().unwrap().success() && command(&four, "4").status().unwrap().success());
    let expected = files(&one);
    assert_eq!(files(&four), expected);
    let killed = dir.path().join("killed");
    for millis in [5, 20, 40, 60, 80, 110, 150, 200] {
        let mut child = command(&killed, "2").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is there is whole.
        for name in files(&killed).keys() {
            let file = fs::File::open(killed.join(name)).unwrap();
            assert!(ParquetRecordBatchReader::try_new(file, 1 << 20).unwrap().all(|batch| batch.is_ok()));
        }
    }
    assert!(command(&killed, "2").status().unwrap().success());
    assert_eq!(files(&killed), expected);
}

#[test]
fn two_at_once_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("analysis");
    let runs = runs(dir.path(), 1);
    let _held = epsiloscope_dataset::DataSet::open(&out).unwrap();
    let output = analyze(&runs, &out, &[]);
    assert_eq!((output.status, output.stderr.lines().count()), (2, 1));
    assert!(output.stderr.contains("another process is writing this data set"), "{}", output.stderr);
}

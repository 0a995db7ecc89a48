//! What `estimate-size` says against what is then written, and what `estimate-cost` says at all.

use std::fs;
use std::path::Path;

use epsiloscope_format::Table;
use serde_json::Value;

use super::{CARRIED, TEXT, open, record, refusal, stderr};

/// Bytes of all files in a folder and below.
fn bytes_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes_of(&path) } else { fs::metadata(path).unwrap().len() }).sum()
}

/// Estimates, then records, and compares; the estimate and the bytes that were written.
fn compare(command: &[&str]) -> (Value, u64) {
    let dir = tempfile::tempdir().unwrap();
    let command = [command, &["--threads", "1"]].concat();
    let estimated = record(dir.path(), &[&["estimate-size"], &command[..], &["--format", "json"]].concat());
    assert_eq!(estimated.status.code(), Some(0), "{}", stderr(&estimated));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "an estimate leaves nothing behind");
    let estimate: Value = serde_json::from_slice(&estimated.stdout).unwrap();
    let recorded = record(dir.path(), &[&command[..], &["--out", "run"]].concat());
    assert_eq!(recorded.status.code(), Some(0), "{}", stderr(&recorded));

    let written = bytes_of(&dir.path().join("run"));
    assert_near(estimate["bytes"].as_f64().unwrap(), written as f64, 0.15, "bytes");
    let run = open(&dir, "run");
    assert_eq!(estimate["recorded_steps"].as_u64(), run.manifest().totals.as_ref().map(|totals| totals.steps));
    for table in Table::ALL {
        let rows: u64 = run.parts(table).map(|part| part.rows).sum();
        assert_near(estimate["tables"][table.name()]["rows"].as_f64().unwrap(), rows as f64, 0.15, table.name());
    }
    (estimate, written)
}

fn assert_near(estimated: f64, found: f64, tolerance: f64, what: &str) {
    assert!((estimated - found).abs() <= tolerance * found, "{what}: {estimated} estimated, {found} found");
}

#[test]
fn a_long_training_with_snapshots_weighs_what_was_estimated() {
    let (estimate, _) =
        compare(&["train", "--data", CARRIED, "--epochs", "9", "--steps", "400", "--snapshot-every", "60"]);
    assert_eq!(estimate["tables"]["scalars"]["rows"].as_f64().map(f64::to_bits), Some(18_f64.to_bits()));
}

#[test]
fn snapshots_of_every_element_weigh_what_was_estimated() {
    let options = ["--data", CARRIED, "--magnitudes", "none", "--batch-size", "500", "--epochs", "3", "--every", "2"];
    let (estimate, written) = compare(&[&["calibrate"], &options[..]].concat());
    // Three epochs of six steps; four critical ε of 206,922 elements.
    assert_eq!(estimate["recorded_steps"], 12);
    assert!(3 * 4 * 206_922 * 4 < written, "{written}");
}

#[test]
fn every_value_of_a_few_steps_weighs_what_was_estimated() {
    compare(&["train", "--model", "mlp", "--data", CARRIED, "--magnitudes", "all", "--steps", "14"]);
    let few = ["--magnitudes", "all", "--steps", "13", "--batch-size", "4", "--context", "8"];
    compare(&[&["train", "--model", "lstm", "--data", TEXT], &few[..]].concat());
}

#[test]
fn an_estimate_is_a_table_of_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--model", "mlp", "--steps", "5", "--record-steps", "2-3", "--out", "elsewhere", "--overwrite"];
    let command = [&["estimate-size", "train", "--data", CARRIED, "--threads", "1"], &options[..]].concat();
    let output = record(dir.path(), &command);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    let names: Vec<&str> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    let tables = ["table", "magnitudes", "histograms", "tensors", "scalars", "steps", "other files", "total"];
    assert_eq!(names[..8], tables, "{text}");
    // Steps 2, 3 and the last one, a snapshot.
    assert!(text.contains("\n3 of 5 steps recorded; extrapolated from 12, "), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let line = refusal(&record(dir.path(), &["estimate-size", "train"]));
    assert!(line.contains("expected --data DIR"), "{line}");
}

#[test]
fn a_cost_is_a_ratio_for_each_contender() {
    let dir = tempfile::tempdir().unwrap();
    let turns = ["--secs", "0.05", "--rounds", "2", "--format", "json"];
    let command = ["estimate-cost", "train", "--model", "mlp", "--data", CARRIED, "--threads", "1"];
    let output = record(dir.path(), &[&command[..], &turns].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    let costs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((costs.len(), &costs[0]["watching"], &costs[0]["ratio"]), (5, &"nothing".into(), &1.0.into()));
    assert!(costs.iter().all(|cost| cost["ms_per_step"].as_f64().unwrap() > 0.0 && cost["ratio"].is_f64()));
}

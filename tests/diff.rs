//! `epsiloscope diff`: what lies between two runs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::epsiloscope;
use crate::synthetic::{Synthetic, SyntheticTensor};

/// Gradients of which those of `fc1.weight` are ten times larger in the second run, which lacks `conv1.bias`.
fn pair(dir: &Path) -> [PathBuf; 2] {
    let a = Synthetic { critical_epsilon: None, ..Synthetic::default() };
    let mut b = a.clone();
    b.tensors[2].centre += 1.0;
    b.tensors[0] = SyntheticTensor { name: "conv0.bias", ..b.tensors[0] };
    [a.write(&dir.join("r-a")), b.write(&dir.join("r-b"))]
}

fn diff([a, b]: &[PathBuf; 2], options: &[&str]) -> Vec<Value> {
    let runs = ["diff", a.to_str().unwrap(), b.to_str().unwrap(), "--format", "json"];
    let output = epsiloscope([&runs[..], options].concat());
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    serde_json::from_str(&output.stdout).unwrap()
}

fn named<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn a_run_and_itself_have_nothing_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let [a, _] = pair(dir.path());
    for row in diff(&[a.clone(), a], &[]) {
        for column in ["distance", "median_shift", "lower_shift", "upper_shift"] {
            assert_eq!(row[column].as_f64(), Some(0.0), "{row}");
        }
        assert!(row["only"].is_null());
    }
}

#[test]
fn the_tensor_that_moved_comes_first_by_as_many_decades() {
    let dir = tempfile::tempdir().unwrap();
    let rows = diff(&pair(dir.path()), &[]);
    let first = &rows[0];
    assert_eq!(
        (&first["name"], &first["run_a"], &first["run_b"]),
        (&"fc1.weight".into(), &"r-a".into(), &"r-b".into())
    );
    // Every magnitude is ten times as large but for rounding, and so are its bins but for those at an edge.
    for column in ["distance", "median_shift", "lower_shift", "upper_shift"] {
        assert!((first[column].as_f64().unwrap() - 1.0).abs() <= 0.026, "{first}");
    }
    assert_eq!((&first["count_a"], &first["last_step_a"]), (&first["count_b"], &12.into()));
    assert_eq!(named(&rows, "conv1.weight")["distance"].as_f64(), Some(0.0));
    let (a, b) = (named(&rows, "conv1.bias"), named(&rows, "conv0.bias"));
    assert_eq!((&a["only"], &b["only"]), (&"a".into(), &"b".into()));
    assert!(a["distance"].is_null() && a["first_step_b"].is_null() && b["count_a"].is_null());
    assert!(rows.iter().all(|row| row["name"] != "unused"), "zeros have no place on the axis");
}

#[test]
fn layers_kinds_runs_and_windows_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let pair = pair(dir.path());
    let names = |scope: &str| -> Vec<Value> {
        diff(&pair, &["--per", scope]).into_iter().map(|row| row["name"].clone()).collect()
    };
    assert_eq!(names("layer"), ["fc1", "conv1", "conv0"]);
    assert_eq!(names("run"), [Value::Null]);
    assert!(names("kind").contains(&"bias".into()));
    let windows = diff(&pair, &["--window", "5", "--per", "run"]);
    let mut steps: Vec<_> =
        windows.iter().map(|row| (row["first_step_a"].as_i64(), row["last_step_b"].as_i64())).collect();
    steps.sort_unstable();
    assert_eq!(steps, [(Some(1), Some(5)), (Some(6), Some(10)), (Some(11), Some(12))]);
}

#[test]
fn a_run_that_is_not_there_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let [a, _] = pair(dir.path());
    let output = epsiloscope(["diff".as_ref(), a.as_os_str(), "nowhere".as_ref()]);
    assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    assert!(output.stderr.contains("nowhere") && output.stderr.lines().count() == 1, "{}", output.stderr);
    let output = epsiloscope(["diff".as_ref(), a.as_os_str(), a.as_os_str(), "--window".as_ref(), "20..30".as_ref()]);
    assert!(output.status == 2 && output.stderr.contains("no step from 20 on was recorded"), "{}", output.stderr);
}

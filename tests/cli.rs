//! The command line: what is typed, what comes out, which status.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use epsiloscope_analysis::{Combination, EstimateOptions};
use epsiloscope_moments::Convention;

use crate::synthetic::Synthetic;

/// What the program printed and how it ended.
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program.
pub(crate) fn epsiloscope<T: AsRef<OsStr>>(args: impl IntoIterator<Item = T>) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_epsiloscope")).args(args).output().expect("the program starts");
    Output {
        status: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

fn runs(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let paths = names.iter().map(|name| Synthetic::default().write(&dir.path().join(name))).collect();
    (dir, paths)
}

fn names(optimizers: &[Convention]) -> String {
    optimizers.iter().map(|optimizer| optimizer.name()).collect::<Vec<_>>().join(", ")
}

#[test]
fn help_leads_with_examples() {
    for args in [&["--help"][..], &["estimate", "--help"], &["histogram", "-h"], &["inspect", "-h"]] {
        let output = epsiloscope(args);
        assert_eq!(output.status, 0);
        assert!(output.stdout.starts_with("Examples:\n  epsiloscope "), "{}", output.stdout);
    }
}

#[test]
fn estimate_prints_search_spaces_and_what_sets_them() {
    let (_dir, runs) = runs(&["r-a", "r-b"]);
    let output = epsiloscope([OsStr::new("estimate"), runs[0].as_ref(), runs[1].as_ref()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..7], ["r-a", "adam", "[1e-7,", "1e0]", "7", "2.62e-7", "fc1.weight"], "{}", output.stdout);
    let optimizers = EstimateOptions::default().optimizers;
    assert_eq!(rows[1 + optimizers.len()][..2], ["r-b", "adam"]);
    let basis = format!("- r-a, {}: non-zero elements after step 12: ", names(&optimizers));
    assert!(output.stdout.contains(&basis), "{}", output.stdout);
    assert!(output.stdout.contains("r-a, adam: the run's ε of 1e-4 outweighs the gradient in"), "{}", output.stdout);
    assert!(output.stdout.contains("unused is left out: every gradient is zero"), "{}", output.stdout);
}

#[test]
fn a_directory_of_runs_stands_for_its_runs() {
    let (dir, runs) = runs(&["r-a", "r-b"]);
    let named = epsiloscope([OsStr::new("estimate"), runs[0].as_ref(), runs[1].as_ref()]);
    assert_eq!(epsiloscope([OsStr::new("estimate"), dir.path().as_ref()]).stdout, named.stdout);
}

#[test]
fn json_csv_and_parquet_hold_the_same_numbers() {
    let (dir, runs) = runs(&["r-a"]);
    let run = |format| epsiloscope(["estimate".as_ref(), runs[0].as_os_str(), "--format".as_ref(), OsStr::new(format)]);
    let json: serde_json::Value = serde_json::from_str(&run("json").stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), EstimateOptions::default().optimizers.len() * Combination::ALL.len());
    let names: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    let csv = run("csv").stdout;
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    assert!(names.iter().all(|name| header.contains(&name.as_str())) && header.len() == names.len());
    for (row, line) in rows.iter().zip(lines) {
        for (name, text) in header.iter().zip(line) {
            match &row[name] {
                serde_json::Value::String(value) => assert_eq!(value, text),
                serde_json::Value::Number(value) => assert_eq!(value.as_f64(), text.parse().ok(), "{name}"),
                _ => assert_eq!(text, ""),
            }
        }
    }
    let file = dir.path().join("estimates.parquet");
    let status = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args(["estimate".as_ref(), runs[0].as_os_str(), "--format".as_ref(), OsStr::new("parquet")])
        .stdout(fs::File::options().write(true).create_new(true).open(&file).unwrap())
        .status();
    assert!(status.unwrap().success());
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(fs::File::open(file).unwrap(), 100);
    let batch = reader.unwrap().next().unwrap().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (rows.len(), header.len()));
    let lower = batch.column_by_name("lower").unwrap();
    let lower = lower.as_any().downcast_ref::<arrow::array::Float64Array>().unwrap();
    assert_eq!(Some(lower.value(0)), rows[0]["lower"].as_f64());
}

#[test]
fn per_tensor_says_which_tensor_sets_which_bound() {
    let (_dir, runs) = runs(&["r-a"]);
    let args = ["--per", "tensor", "--optimizer", "adam", "--format", "json"].map(OsStr::new);
    let output = epsiloscope([&[OsStr::new("estimate"), runs[0].as_os_str()][..], &args].concat());
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let sets: Vec<(&str, &str, &str)> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["method"].as_str().unwrap(), row["sets"].as_str().unwrap()))
        .collect();
    assert_eq!(
        sets,
        [("conv1.bias", "exact", "upper"), ("conv1.weight", "exact", ""), ("fc1.weight", "exact", "lower")]
    );
}

#[test]
fn histogram_writes_a_hive_data_set_that_a_second_call_replaces() {
    let (dir, runs) = runs(&["r-a", "7"]);
    let out = dir.path().join("analysis");
    for _twice in 0..2 {
        let output = epsiloscope(
            [&[OsStr::new("histogram"), "--out".as_ref(), out.as_os_str()][..], &[runs[0].as_ref(), runs[1].as_ref()]]
                .concat(),
        );
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        for run in ["r-a", "r-7"] {
            let file = out.join(format!("histograms/run={run}/part-0.parquet"));
            assert!(file.is_file() && output.stdout.contains(&file.display().to_string()), "{}", output.stdout);
            assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        }
    }
}

#[test]
fn runs_of_one_name_are_told_apart_by_their_directories() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|parent| Synthetic::default().write(&dir.path().join(parent).join("r-1")));
    let out = dir.path().join("analysis");
    let output =
        epsiloscope(["histogram".as_ref(), first.as_os_str(), second.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(fs::read_dir(out.join("histograms")).unwrap().count(), 2);
    let output = epsiloscope(["estimate".as_ref(), first.as_os_str(), second.as_os_str(), first.as_os_str()]);
    let adam = output.stdout.lines().filter(|line| line.contains(" adam "));
    let named: Vec<&str> = adam.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(named, [first.to_str().unwrap(), second.to_str().unwrap()], "{}", output.stdout);
}

#[test]
fn inspect_shows_settings_files_and_health() {
    let (_dir, runs) = runs(&["r-a"]);
    let output = epsiloscope([OsStr::new("inspect"), runs[0].as_ref()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    for expected in [
        "calibration, weights frozen",
        "finished",
        "adam, lr 0.001, ε 1e-4",
        "steps 1 to 12",
        "every element, with signs",
        "β1 0.9, β2 0.999; bins at snapshots\n",
        "cadence     every step\n",
    ] {
        assert!(output.stdout.contains(expected), "no {expected} in {}", output.stdout);
    }
    let args = ["--view", "tensors", "--format", "json"].map(OsStr::new);
    let output = epsiloscope([&[OsStr::new("inspect"), runs[0].as_os_str()][..], &args].concat());
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let unused = json.as_array().unwrap().iter().find(|row| row["tensor"] == "unused" && row["quantity"] == "gradient");
    let unused = unused.unwrap();
    assert_eq!((&unused["zero_share"], &unused["steps"], &unused["numel"]), (&1.0.into(), &12.into(), &5.into()));
    assert!(unused["min_nonzero"].is_null());
}

#[test]
fn inspect_shows_the_scalars_of_each_step_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { steps: 3, overflows: vec![2], ..Synthetic::default() }.write(&dir.path().join("r-a"));
    let view = |view: &str, format: &str| {
        let output = epsiloscope(["inspect", run.to_str().unwrap(), "--view", view, "--format", format]);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        output.stdout
    };
    let steps = "run,step,epoch,time,loss,learning_rate,loss_scale,overflow\n\
                 r-a,1,1,2023-11-14T22:13:20.000001+00:00,1.0,0.001,,false\n\
                 r-a,2,1,2023-11-14T22:13:20.000002+00:00,0.5,0.001,,true\n";
    assert!(view("steps", "csv").starts_with(steps), "{}", view("steps", "csv"));
    let scalars = "run,step,name,value\nr-a,1,grad_norm,1.0\nr-a,1,perplexity,\nr-a,2,grad_norm,2.0\n";
    assert!(view("scalars", "csv").starts_with(scalars), "{}", view("scalars", "csv"));
    let json: serde_json::Value = serde_json::from_str(&view("steps", "json")).unwrap();
    assert_eq!((&json[1]["overflow"], &json[2]["step"]), (&true.into(), &3.into()));
    for (name, word) in [("steps", "overflow"), ("scalars", "perplexity")] {
        assert!(view(name, "table").contains(word) && view(name, "parquet").starts_with("PAR1"));
    }
}

#[test]
fn unknown_words_are_refused_with_the_known_ones() {
    let output = epsiloscope(["estimate", "runs", "--optimizer", "sgd"]);
    assert_eq!((output.status, output.stderr.lines().count()), (2, 1));
    let known = format!("expected one of {}", names(&Convention::ALL));
    assert!(output.stderr.contains(&known), "{}", output.stderr);
    let output = epsiloscope(["estimate", "runs", "--format", "xml"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("expected table, json, csv or parquet"), "{}", output.stderr);
    let output = epsiloscope(["estimate", "runs", "--percentile", "98"]);
    assert!(output.status == 2 && output.stderr.contains("expected a number between 0.5 and 1"), "{}", output.stderr);
}

#[test]
fn record_without_libtorch_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("epsiloscope");
    // Copied by another process: a file that this one has open for writing cannot be run, nor while a child holds it.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_epsiloscope")).arg(&program).status();
    assert!(copied.unwrap().success());
    let output = Command::new(&program).args(["record", "train"]).env("PATH", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("epsiloscope-record is not installed") && stderr.contains("scripts/libtorch.sh"),
        "{stderr}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let (_dir, runs) = runs(&["r-a"]);
    let command =
        format!("{} histogram {} --format csv | head -n 1", env!("CARGO_BIN_EXE_epsiloscope"), runs[0].display());
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &command]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn names_from_files_reach_no_terminal_unescaped() {
    let dir = tempfile::tempdir().unwrap();
    let mut synthetic = Synthetic::default();
    synthetic.tensors[2].name = "fc\u{1b}[31mred\u{9b}\u{202e}";
    let run = synthetic.write(&dir.path().join("r-1"));
    for args in [&["estimate"][..], &["estimate", "--per", "tensor"], &["inspect"], &["histogram"]] {
        let output = epsiloscope([&args.iter().map(OsStr::new).collect::<Vec<_>>()[..], &[run.as_ref()]].concat());
        assert_eq!(output.status, 0);
        assert!(output.stdout.contains("fc\\u{1b}[31mred\\u{9b}\\u{202e}"), "{}", output.stdout);
        assert!(!output.stdout.contains(['\u{1b}', '\u{9b}', '\u{202e}']));
    }
}

#[test]
fn threads_change_no_byte_of_an_answer() {
    let (dir, _runs) = runs(&["r-a", "r-b", "r-c"]);
    let answer = |threads: &str, command: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_epsiloscope"));
        program.args(command).arg(dir.path()).args(["--format", "csv"]);
        program.env("RAYON_NUM_THREADS", threads).env("POLARS_MAX_THREADS", threads).output().unwrap().stdout
    };
    for command in [&["estimate"][..], &["histogram"], &["histogram", "--per", "run"], &["inspect"]] {
        let one = answer("1", command);
        assert!(one.len() > 100 && one == answer("8", command), "{command:?}");
    }
}

#[test]
fn completions_are_printed_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = epsiloscope(["completions", shell]);
        assert!(output.status == 0 && output.stdout.contains("estimate"));
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_epsiloscope")).args(["completions", "bash"]).stdout(full).output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

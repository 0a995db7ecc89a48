//! `search`: real commands, run, killed and taken up again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Output, epsiloscope};
use crate::search_spaces::with_outlier;

/// (log10 ε + 5)², and a hundredth for each seed.
const QUADRATIC: &str = "awk 'BEGIN {{ x = log({epsilon})/log(10) + 5; print \"loss=\" x*x + {seed}/100 }}'";
const SPACE: &str = "epsilon:1e-8..1e-1";

fn args(out: &Path, command: &str, more: &[&str]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["search".into(), "--out".into(), out.into(), "--run".into(), command.into()];
    if !more.contains(&"--metric") {
        args.extend(["--metric", "loss=([0-9.e+-]+)"].map(OsString::from));
    }
    if !more.contains(&"--space") {
        args.extend(["--space", SPACE].map(OsString::from));
    }
    args.extend(more.iter().map(OsString::from));
    args
}

fn search(out: &Path, command: &str, more: &[&str]) -> Output {
    epsiloscope(args(out, command, more))
}

/// The rows of a view, as JSON.
fn rows(out: &Path, command: &str, view: &str, more: &[&str]) -> (Vec<Value>, Output) {
    let output = search(out, command, &[more, &["--view", view, "--format", "json"]].concat());
    let rows = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{} {}", output.stdout, output.stderr));
    (rows, output)
}

/// Trials without the time that they took.
fn trials(out: &Path, command: &str, more: &[&str]) -> Vec<Value> {
    let (mut rows, _) = rows(out, command, "trials", more);
    for row in &mut rows {
        assert!(row.as_object_mut().unwrap().remove("elapsed_secs").unwrap().as_f64().unwrap() > 0.0);
    }
    rows
}

fn here() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn every_strategy_finds_the_best_of_a_known_function() {
    for (more, tolerance) in [
        (&["--seed", "3"][..], 0.2),
        (&["--strategy", "grid"], 1e-9),
        (&["--strategy", "random", "--trials", "40", "--jobs", "4"], 0.4),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (found, output) = rows(dir.path(), QUADRATIC, "summary", more);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        let exponent = found[0]["best_epsilon"].as_f64().unwrap().log10();
        assert!((exponent + 5.0).abs() < tolerance, "{more:?}: {exponent}");
        assert_eq!(found[0]["trials"], found[0]["completed"]);
    }
}

#[test]
fn people_are_told_the_best_the_noise_and_what_was_spared() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["--strategy", "grid", "--seeds", "3", "--space", "epsilon:1e-6..1e-3"];
    let output = search(dir.path(), QUADRATIC, &more);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0].split_whitespace().take(4).collect::<Vec<_>>(), ["rank", "point", "epsilon", "value"]);
    assert_eq!(
        lines[1].split_whitespace().take(4).collect::<Vec<_>>(),
        ["1", "1", "1e-5", "0.01"],
        "{}",
        output.stdout
    );
    for told in [
        "- best: epsilon 1e-5: 0.01, the mean of 3 seeds with standard deviation 0.01.",
        "- within noise of it: 0 of 3 other points; with it epsilon 1e-5 to 1e-5.",
        "- 12 trials of 4 points: 12 with a value, 0 diverged, 0 timed out, 0 failed.",
        "3 decades searched, 7 in the range of trial and error, 1e-8 to 1e-1: there a grid of the same spacing would have \
         taken 24 trials instead of 12.",
        "The default of adam is 1e-8.",
    ] {
        assert!(output.stdout.contains(told), "{told}\n{}", output.stdout);
    }
}

const PAIRS: &str = "echo loss={epsilon} lr={lr}";

/// The grid that `candidates` recommends for Adam, each ε with its learning rate.
fn recommended(run: &Path, combination: &str) -> Vec<(f64, f64)> {
    let asked = ["--optimizer", "adam", "--format", "json", "--combination", combination].map(OsStr::new);
    let output = epsiloscope([OsStr::new("candidates"), run.as_os_str()].into_iter().chain(asked));
    let rows: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let of_grid = rows.iter().filter(|row| row["role"] == "grid");
    of_grid.map(|row| (row["epsilon"].as_f64().unwrap(), row["matched_learning_rate"].as_f64().unwrap())).collect()
}

/// The grid of a space, as it is tried.
fn tried(out: &Path, space: &Path, more: &[&str]) -> Vec<(f64, f64)> {
    let options = ["--strategy", "grid", "--param", "epsilon", "--param", "lr", "--space", space.to_str().unwrap()];
    let rows = trials(out, PAIRS, &[&options, more].concat());
    rows.iter().map(|row| (row["epsilon"].as_f64().unwrap(), row["lr"].as_f64().unwrap())).collect()
}

#[test]
fn the_space_of_a_run_is_by_the_combination_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = with_outlier("block3.conv.bias").write(&dir.path().join("r-1"));
    let analysis = dir.path().join("analysis");
    assert_eq!(epsiloscope(["analyze".as_ref(), run.as_os_str(), "--out".as_ref(), analysis.as_os_str()]).status, 0);
    let extremes = recommended(&run, "extremes");
    assert_eq!(tried(&dir.path().join("default"), &run, &[]), extremes);
    assert_eq!(tried(&dir.path().join("of-data-set"), &analysis, &["--combination", "extremes"]), extremes);
    for combination in ["pooled", "robust"] {
        let expected = recommended(&run, combination);
        let more = ["--combination", combination];
        assert!(expected != extremes && tried(&dir.path().join(combination), &run, &more) == expected);
        for (space, told) in [
            (analysis.to_str().unwrap(), format!("expected a run with --combination {combination}")),
            (SPACE, format!("--combination {combination}: expected with --space of a run")),
        ] {
            let refused = search(&dir.path().join("refused"), PAIRS, &[&more[..], &["--space", space]].concat());
            assert_eq!((refused.status, refused.stderr.lines().count()), (2, 1));
            assert!(refused.stderr.contains(&told), "{}", refused.stderr);
        }
    }
}

#[test]
fn the_space_is_that_of_a_run_or_a_data_set() {
    let run = here().join("data/runs/cnn-calibration");
    let dir = tempfile::tempdir().unwrap();
    let analysis = dir.path().join("analysis");
    assert_eq!(epsiloscope(["analyze".as_ref(), run.as_os_str(), "--out".as_ref(), analysis.as_os_str()]).status, 0);
    let expected = recommended(&run, "extremes");
    for (name, space) in [("of-run", &run), ("of-data-set", &analysis)] {
        assert_eq!(tried(&dir.path().join(name), space, &[]), expected, "{name}");
        let space = space.to_str().unwrap();
        let (points, _) = rows(
            &dir.path().join(name).join("random"),
            PAIRS,
            "points",
            &["--strategy", "random", "--param", "lr:1e-4..1e-1", "--space", space, "--optimizer", "adam"],
        );
        let inside =
            |row: &Value| (expected[0].0..=expected.last().unwrap().0).contains(&row["epsilon"].as_f64().unwrap());
        assert!(points.len() == 20 && points.iter().all(inside));
    }
    let other = [&["--space", analysis.to_str().unwrap(), "--optimizer", "adagrad"][..]].concat();
    let refused = search(&dir.path().join("refused"), "echo loss={epsilon}", &other);
    assert!(refused.status == 2 && refused.stderr.contains("tells nothing of the ε of adagrad"), "{}", refused.stderr);
}

/// Starts a search that takes a while.
fn started(out: &Path, command: &str, more: &[&str]) -> Child {
    let mut command = {
        let mut program = Command::new(env!("CARGO_BIN_EXE_epsiloscope"));
        program.args(args(out, command, more));
        program
    };
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until so many trials are in the log.
fn wait_for_trials(out: &Path, n: usize) {
    let began = Instant::now();
    let n_lines = || fs::read_to_string(out.join("trials.jsonl")).map_or(0, |text| text.matches('\n').count());
    while n_lines() < 1 + n {
        assert!(began.elapsed() < Duration::from_mins(5), "no trials");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether some process has this word in its command line.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).split('\0').any(|argument| argument == word))
}

fn wait_until_gone(word: &str) {
    let began = Instant::now();
    while is_running(word) {
        assert!(began.elapsed() < Duration::from_secs(20), "{word} still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The quadratic, some time after a process that can be recognised was left behind in the background.
fn slow(word: &str) -> String {
    format!("sh -c 'sleep 60; :' {word} & sleep 0.03; {QUADRATIC}")
}

#[test]
fn a_search_killed_at_any_moment_goes_on_as_if_nothing_had_happened() {
    let dir = tempfile::tempdir().unwrap();
    let word = format!("killed-{}", std::process::id());
    let more = ["--seed", "5", "--seeds", "2", "--trials", "12", "--population", "4"];
    let expected = trials(&dir.path().join("whole"), &slow(&word), &more);
    assert_eq!(expected.len(), 24);
    let out = dir.path().join("killed");
    for n_trials in [0, 1, 6, 9, 17] {
        let mut child = started(&out, &slow(&word), &more);
        wait_for_trials(&out, n_trials);
        child.kill().unwrap();
        child.wait().unwrap();
        // Nothing that it had started outlives it.
        wait_until_gone(&word);
    }
    assert_eq!(trials(&out, &slow(&word), &more), expected);
    wait_until_gone(&word);
}

#[test]
fn an_interruption_ends_what_runs_and_keeps_what_has_finished() {
    let dir = tempfile::tempdir().unwrap();
    let word = format!("interrupted-{}", std::process::id());
    let command = format!("test {{trial}} -lt 3 || sleep 60 {word} || sh -c 'sleep 60; :' {word}; {QUADRATIC}");
    let more = ["--strategy", "random", "--trials", "8", "--jobs", "2"];
    let mut child = started(dir.path(), &command, &more);
    wait_for_trials(dir.path(), 3);
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_until_gone(&word);
    let bytes = fs::File::open(dir.path().join("trials.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 100).unwrap();
    let n_rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(n_rows, 3);
}

#[test]
fn what_cannot_be_judged_is_kept_and_told() {
    let command = "case {kind} in good) echo loss=1e0;; nan) echo loss=0.1; echo loss=nan;; slow) sleep 30;; \
                   exit) echo loss=0.2; exit 3;; mute) ;; word) echo 'loss=-';; kill) kill -9 $$;; esac";
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--strategy",
        "grid",
        "--param",
        "kind:good,nan,slow,exit,mute,word,kill",
        "--points",
        "1",
        "--timeout",
        "0.5",
    ];
    let found = trials(dir.path(), command, &more);
    let of: Vec<(&str, &str)> =
        found.iter().map(|row| (row["status"].as_str().unwrap(), row["reason"].as_str().unwrap_or(""))).collect();
    let expected = [
        ("completed", ""),
        ("diverged", "nan"),
        ("timed-out", ""),
        ("failed", "exit status 3"),
        ("failed", "it printed no metric"),
        ("failed", "its metric is \"-\", which is no number"),
        ("failed", "ended by signal 9"),
    ];
    assert_eq!(of, expected);
    let output = search(dir.path(), command, &more);
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(output.stdout.contains("1 with a value, 1 diverged, 1 timed out, 4 failed."), "{}", output.stdout);
    // What failed may be run again: here it fails again.
    assert_eq!(search(dir.path(), command, &[&more[..], &["--retry-failed"]].concat()).status, 4);
    let log = fs::read_to_string(dir.path().join("trials.jsonl")).unwrap();
    assert_eq!(log.matches('\n').count(), 1 + 7 + 4);
    // A single good trial is found; none is a fault.
    let none = search(&dir.path().join("none"), "echo loss=inf", &["--strategy", "random", "--trials", "7"]);
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("no point has a value"), "{}", none.stderr);
    let hopeless =
        search(&dir.path().join("hopeless"), "no-such-program", &["--strategy", "random", "--trials", "1000"]);
    assert_eq!(hopeless.status, 2);
    assert!(hopeless.stderr.contains("the first 5 points all failed: exit status 127; see "), "{}", hopeless.stderr);
}

#[test]
fn hostile_output_costs_neither_memory_nor_sense() {
    let dir = tempfile::tempdir().unwrap();
    let command = "head -c 3000000 /dev/zero; printf '\\377\\033[31mloss=9 loss=2\\r\\000'; head -c 100000 /dev/urandom >&2; \
                   printf '\\nloss=%s\\n' $EPSILOSCOPE_EPSILON";
    let (found, output) = rows(dir.path(), command, "points", &["--strategy", "grid"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!((&found[0]["epsilon"], &found[0]["value"]), (&1e-8.into(), &1e-8.into()));
    let more = ["--strategy", "random", "--trials", "1", "--max-output", "1"];
    let flood = trials(&dir.path().join("flood"), "echo loss=1; yes", &more);
    assert_eq!(flood[0]["reason"], "it printed more than 1048576 bytes");
    // Output is kept per trial, what a command leaves in its own folder as well.
    let kept = search(
        &dir.path().join("kept"),
        "echo loss={seed} | tee {dir}/mine; echo told >&2",
        &["--strategy", "random", "--trials", "2", "--seed", "7"],
    );
    assert_eq!(kept.status, 0);
    let of_trial = dir.path().join("kept/trials/00001-seed7");
    let read = |name: &str| fs::read_to_string(of_trial.join(name)).unwrap();
    assert_eq!((read("stdout"), read("stderr"), read("mine")), ("loss=7\n".into(), "told\n".into(), "loss=7\n".into()));
}

#[test]
fn jobs_change_nothing_but_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["--trials", "16", "--population", "8", "--param", "lr:1e-4..1", "--param", "beta2:0.9,0.99"];
    let command = "awk 'BEGIN {{ x = log({epsilon}/{lr})/log(10) + 3; print \"loss=\" x*x + {beta2} }}'";
    let of = |jobs: &str| trials(&dir.path().join(jobs), command, &[&more[..], &["--jobs", jobs]].concat());
    let one = of("1");
    assert_eq!((one.len(), &one), (16, &of("5")));
    let texts: Vec<&str> = one.iter().map(|row| row["beta2"].as_str().unwrap()).collect();
    assert!(texts.contains(&"0.9") && texts.contains(&"0.99"));
}

#[test]
fn a_folder_holds_one_search() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["--strategy", "random", "--trials", "2"];
    assert_eq!(search(dir.path(), QUADRATIC, &more).status, 0);
    let other = search(dir.path(), QUADRATIC, &[&more[..], &["--maximize"]].concat());
    assert_eq!(other.status, 2);
    assert!(other.stderr.contains("its goal: \"minimize\" there, \"maximize\" asked for"), "{}", other.stderr);
    // More of the same goes on.
    assert_eq!(trials(dir.path(), QUADRATIC, &["--strategy", "random", "--trials", "3"]).len(), 3);
}

#[test]
fn what_cannot_be_searched_gets_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (command, more, told) in [
        ("train {eps}", &[][..], "{eps} is no parameter: expected one of epsilon, seed, trial, dir"),
        ("train", &["--metric", "("], "metric \"(\": "),
        ("train", &["--param", "lr"], "--param lr: expected a range"),
        ("train", &["--param", "x"], "--param x: expected a range; --space is that of epsilon"),
        ("train", &["--param", "lr:2..1"], "parameter \"lr:2..1\": expected low..high"),
        ("train", &["--space", "nowhere"], "nowhere"),
        ("train", &["--points", "3"], "--points: expected with --strategy grid"),
        ("train", &["--strategy", "grid", "--trials", "3"], "--trials: expected with another strategy"),
        ("train", &["--population", "2"], "population 2: expected a number from 4 on"),
    ] {
        let output = search(dir.path(), command, more);
        let lines: Vec<&str> = output.stderr.lines().filter(|line| !line.contains("does not stand in --run")).collect();
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{more:?}");
        assert!(lines.last().is_some_and(|line| line.contains(told)), "{told}: {lines:?}");
    }
}

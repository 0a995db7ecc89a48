//! The HTML report as a command: what it writes, and when it does not. What the page shows, Python's tests look at.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Output, epsiloscope};
use crate::synthetic::Synthetic;

fn report(runs: &[&Path], out: &Path, options: &[&str]) -> Output {
    let options = options.iter().map(OsStr::new);
    let paths = runs.iter().map(|run| run.as_os_str());
    epsiloscope(
        [OsStr::new("report")].into_iter().chain(paths).chain([OsStr::new("--out"), out.as_os_str()]).chain(options),
    )
}

/// The verdicts that the page holds for readers without scripts.
fn verdicts(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let (inside, _) = text.split_once("</noscript>").unwrap();
    inside.lines().filter_map(|line| line.strip_prefix("<li>")?.strip_suffix("</li>")).map(str::to_owned).collect()
}

fn written(dir: &Path, name: &str, synthetic: &Synthetic) -> PathBuf {
    synthetic.write(&dir.join(name))
}

#[test]
fn a_report_depends_on_nothing_but_runs_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let run = written(dir.path(), "r-a", &Synthetic::default());
    let in_parts = Synthetic {
        options: epsiloscope_format::WriterOptions { flush_rows: 701, flush_secs: 1e9 },
        ..Synthetic::default()
    };
    fs::create_dir(dir.path().join("parts")).unwrap();
    let same_run = written(&dir.path().join("parts"), "r-a", &in_parts);
    let [one, other] = ["one.html", "other.html"].map(|name| dir.path().join(name));
    assert_eq!(report(&[&run], &one, &[]).status, 0);
    let status = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args([OsStr::new("report"), same_run.as_ref(), OsStr::new("--out"), other.as_ref()])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap());
}

#[test]
fn a_damaged_run_is_told_and_the_others_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let [good, bad] = ["r-good", "r-bad"].map(|name| written(dir.path(), name, &Synthetic::default()));
    fs::write(bad.join("run.json"), "{}").unwrap();
    let out = dir.path().join("report.html");
    let output = report(&[&good, &bad], &out, &[]);
    assert_eq!(output.status, 4);
    assert!(output.stderr.contains("r-bad") && output.stderr.lines().count() == 1, "{}", output.stderr);
    assert!(output.stdout.contains("report.html: 1 run, "), "{}", output.stdout);
    assert!(verdicts(&out).iter().all(|verdict| verdict.starts_with("r-good: search ε of ")));
    assert_eq!(verdicts(&out).len(), 4);
}

#[test]
fn runs_that_hold_little_are_shown_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let magnitudes_only = Synthetic { histograms: false, critical_epsilon: None, ..Synthetic::default() };
    let histograms_only = Synthetic { sample: Some(0), critical_epsilon: None, ..Synthetic::default() };
    let without_signs = Synthetic { signs: false, critical_epsilon: None, ..Synthetic::default() };
    // Adam and RMSprop can be replayed without signs, AdaBelief and AdaMomentum cannot.
    for (name, synthetic, n_verdicts) in
        [("r-magnitudes", magnitudes_only, 4), ("r-histograms", histograms_only, 0), ("r-unsigned", without_signs, 2)]
    {
        let out = dir.path().join(format!("{name}.html"));
        let output = report(&[&written(dir.path(), name, &synthetic)], &out, &[]);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{name}");
        assert_eq!(verdicts(&out).len(), n_verdicts, "{name}");
    }
}

#[test]
fn a_run_that_is_still_written_is_shown_up_to_its_last_complete_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-running");
    let synthetic = Synthetic {
        options: epsiloscope_format::WriterOptions { flush_rows: 13_000, flush_secs: 1e9 },
        ..Synthetic::default()
    };
    let _writer = synthetic.write_unfinished(&path);
    let out = dir.path().join("report.html");
    let output = report(&[&path], &out, &["--window", "2", "--at", "all", "--optimizer", "adam,optax-eps-root"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert!(!verdicts(&out).is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let run = written(dir.path(), "r-a", &Synthetic::default());
    for out in [dir.path().join("nowhere/report.html"), dir.path().to_owned()] {
        let output = report(&[&run], &out, &[]);
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains("expected a f") && output.stderr.lines().count() == 1, "{}", output.stderr);
    }
}

//! Several runs, one after another or at once; one that is damaged never stops the others.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use epsiloscope_format::Run;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::{FAULT, PARTIAL};

/// What came of the runs that could be read, in the order in which they were named, and the status that says whether
/// those were all, some or none.
pub(crate) struct Outcome<T> {
    pub(crate) results: Vec<T>,
    pub(crate) status: ExitCode,
}

/// Opens every run and applies `question` to it, in parallel. Faults are reported, one line each.
pub(crate) fn for_each<T: Send>(paths: &[PathBuf], question: impl Fn(&Run) -> anyhow::Result<T> + Sync) -> Outcome<T> {
    let dirs = run_directories(paths);
    let progress = progress_bar(dirs.len());
    // What a panic has to say is reported with the run's name, once.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_panic| {}));
    let runs: Vec<anyhow::Result<Run>> = dirs.par_iter().map(|dir| guarded(dir, || Ok(Run::open(dir)?))).collect();
    let answer = |run: anyhow::Result<Run>| {
        let run = run?;
        let answer = guarded(run.dir(), || question(&run));
        progress.inc(1);
        answer
    };
    let answers: Vec<anyhow::Result<T>> = distinct(runs).into_par_iter().map(answer).collect();
    std::panic::set_hook(hook);
    progress.finish_and_clear();
    let n_runs = answers.len();
    let results: Vec<T> = answers.into_iter().filter_map(|answer| answer.inspect_err(report).ok()).collect();
    let status = match results.len() {
        n_results if n_results == n_runs => ExitCode::SUCCESS,
        0 => ExitCode::from(FAULT),
        _ => ExitCode::from(PARTIAL),
    };
    Outcome { results, status }
}

/// A panic in a library is the fault of the one run that brought it about.
fn guarded<T>(dir: &Path, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|panic| Err(anyhow!("{}: internal error: {}", dir.display(), message(&*panic))))
}

/// Runs that share a name are told apart by their directories.
fn distinct(mut runs: Vec<anyhow::Result<Run>>) -> Vec<anyhow::Result<Run>> {
    let mut n_named: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs.iter().flatten() {
        *n_named.entry(run.manifest().run.clone()).or_default() += 1;
    }
    for run in runs.iter_mut().flatten() {
        if n_named[&run.manifest().run] > 1 {
            run.rename(run.dir().display().to_string());
        }
    }
    runs
}

/// One line on standard error.
pub(crate) fn report(fault: &anyhow::Error) {
    let line = epsiloscope_format::escaped(&format!("{fault:#}"));
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "epsiloscope: {line}");
}

/// Each path if it is a run, or the runs directly inside if it is not; no run twice.
fn run_directories(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let is_new = |dir: &PathBuf| seen.insert(dir.canonicalize().unwrap_or_else(|_unreadable| dir.clone()));
    paths.iter().flat_map(|path| runs_at(path)).filter(is_new).collect()
}

fn runs_at(path: &Path) -> Vec<PathBuf> {
    let is_run = |dir: &Path| dir.join("run.json").exists();
    if is_run(path) {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut inside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|dir| is_run(dir)).collect();
    inside.sort();
    // Opening what is no run says what was expected.
    if inside.is_empty() { vec![path.to_owned()] } else { inside }
}

fn progress_bar(n_runs: usize) -> ProgressBar {
    if n_runs < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left");
    ProgressBar::new(n_runs as u64).with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

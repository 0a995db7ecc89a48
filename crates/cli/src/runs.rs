//! Several runs, one after another or at once; one that is damaged never stops the others.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use epsiloscope_format::Run;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

/// What came of the runs that could be read, in the order in which they were named, and whether any could not.
pub(crate) struct Outcome<T> {
    pub(crate) results: Vec<T>,
    pub(crate) any_fault: bool,
}

/// Opens every run and applies `question` to it, in parallel. Faults are reported, one line each.
pub(crate) fn for_each<T: Send>(paths: &[PathBuf], question: impl Fn(&Run) -> anyhow::Result<T> + Sync) -> Outcome<T> {
    let dirs: Vec<PathBuf> = paths.iter().flat_map(|path| run_directories(path)).collect();
    let progress = progress_bar(dirs.len());
    let runs: Vec<anyhow::Result<Run>> = dirs.par_iter().map(|dir| Ok(Run::open(dir)?)).collect();
    let answer = |run: anyhow::Result<Run>| {
        let run = run?;
        // A panic in a library is that run's fault alone.
        let answer = catch_unwind(AssertUnwindSafe(|| question(&run)));
        progress.inc(1);
        answer.unwrap_or_else(|panic| Err(anyhow!("{}: internal error: {}", run.dir().display(), message(&*panic))))
    };
    let answers: Vec<anyhow::Result<T>> = distinct(runs).into_par_iter().map(answer).collect();
    progress.finish_and_clear();
    let mut outcome = Outcome { results: Vec::new(), any_fault: false };
    for answer in answers {
        match answer {
            Ok(result) => outcome.results.push(result),
            Err(fault) => {
                report(&fault);
                outcome.any_fault = true;
            }
        }
    }
    outcome
}

/// Of runs with the same name all but the first are faults: their rows and files could not be told apart.
fn distinct(runs: Vec<anyhow::Result<Run>>) -> Vec<anyhow::Result<Run>> {
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    let check = |run: anyhow::Result<Run>| {
        let run = run?;
        let name = &run.manifest().run;
        if let Some(first) = seen.get(name) {
            let (dir, first) = (run.dir().display(), first.display());
            bail!("{dir}: named {name:?}, as is {first}: expected runs of different names");
        }
        seen.insert(name.clone(), run.dir().to_owned());
        Ok(run)
    };
    runs.into_iter().map(check).collect()
}

/// One line on standard error.
pub(crate) fn report(fault: &anyhow::Error) {
    let line = epsiloscope_report::escaped(&format!("{fault:#}"));
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "epsiloscope: {line}");
}

/// The run itself, or the runs directly inside a directory that is none.
fn run_directories(path: &Path) -> Vec<PathBuf> {
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

//! Several runs, one after another or at once; one that is damaged never stops the others.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use epsiloscope_batch::{guarded, message, without_panic_messages};
use epsiloscope_format::Run;
use epsiloscope_store::{Found, discover};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{FAULT, PARTIAL};

/// What came of the runs that could be read, in the order in which they were named, what is wrong with the others, and the
/// status that says whether those were all, some or none.
pub(crate) struct Outcome<T> {
    pub(crate) results: Vec<T>,
    pub(crate) faults: Vec<String>,
    pub(crate) status: ExitCode,
}

/// Applies `question` to every run, in parallel. Faults are reported, one line each.
pub(crate) fn for_each<T: Send>(paths: &[PathBuf], question: impl Fn(&Run) -> anyhow::Result<T> + Sync) -> Outcome<T> {
    for_each_of_many(paths, |run, _n_runs| question(run))
}

/// [`for_each`] that knows how many runs were found.
pub(crate) fn for_each_of_many<T: Send>(
    paths: &[PathBuf],
    question: impl Fn(&Run, usize) -> anyhow::Result<T> + Sync,
) -> Outcome<T> {
    for_each_opened(paths, |run, n_runs| question(&run, n_runs))
}

/// Opens every run, and keeps it. Faults are reported, one line each.
pub(crate) fn open_all(paths: &[PathBuf]) -> Outcome<Run> {
    for_each_opened(paths, |run, _n_runs| Ok(run))
}

/// Applies `question` to every run, in parallel, and hands the answers over one by one, in the order in which the runs were
/// named, so that they need not all be kept. Faults are reported, one line each.
///
/// # Errors
/// The first that `take` gives; runs whose turn has not come are then left alone.
pub(crate) fn for_each_in_turn<T: Send>(
    paths: &[PathBuf],
    question: impl Fn(&Run) -> anyhow::Result<T> + Sync,
    mut take: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut is_any = false;
    let faults = answer_in_turn(
        paths,
        |run, _n_runs| question(&run),
        |answer| {
            is_any = true;
            take(answer)
        },
    )?;
    Ok(status(is_any, faults.len()))
}

fn for_each_opened<T: Send>(
    paths: &[PathBuf],
    question: impl Fn(Run, usize) -> anyhow::Result<T> + Sync,
) -> Outcome<T> {
    let mut results = Vec::new();
    let taken = answer_in_turn(paths, question, |answer| {
        results.push(answer);
        Ok(())
    });
    let faults = taken.unwrap_or_default();
    let status = status(!results.is_empty(), faults.len());
    Outcome { results, faults, status }
}

/// Answers in turn, and what is wrong with the runs that have none; that is reported, too.
fn answer_in_turn<T: Send>(
    paths: &[PathBuf],
    question: impl Fn(Run, usize) -> anyhow::Result<T> + Sync,
    mut take: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<String>> {
    let unnamed = |fault: std::io::Error| Found { faults: vec![fault.into()], ..Found::default() };
    let found = named(paths).map_or_else(unnamed, |paths| discover(&paths));
    let n_runs = found.runs.len();
    let progress = progress_bar(n_runs);
    let mut faults = Vec::new();
    let mut note = |fault: &anyhow::Error| {
        progress.suspend(|| report(fault));
        faults.push(line(fault));
    };
    found.faults.into_iter().for_each(|fault| note(&fault.into()));
    let outcome = epsiloscope_batch::answer_in_turn(
        found.runs,
        |run| question(run, n_runs),
        |answer| {
            progress.inc(1);
            match answer {
                Ok(answer) => take(answer),
                Err(fault) => {
                    note(&fault);
                    Ok(())
                }
            }
        },
    );
    progress.finish_and_clear();
    outcome.map(|()| faults)
}

/// The status that says whether all runs were answered, some or none.
pub(crate) fn status(any: bool, n_faults: usize) -> ExitCode {
    match (any, n_faults) {
        (_, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(FAULT),
        (true, _) => ExitCode::from(PARTIAL),
    }
}

/// One line on standard error.
pub(crate) fn report(fault: &anyhow::Error) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "epsiloscope: {}", line(fault));
}

/// A fault with its causes.
fn line(fault: &anyhow::Error) -> String {
    epsiloscope_format::escaped(&format!("{fault:#}"))
}

/// Paths as typed, and in place of `-` those that standard input names, one a line.
fn named(paths: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let mut named = Vec::new();
    for path in paths {
        if path.as_os_str() != "-" {
            named.push(path.clone());
            continue;
        }
        for line in std::io::stdin().lock().split(b'\n') {
            let line = OsString::from_vec(line?);
            named.extend((!line.is_empty()).then(|| line.into()));
        }
    }
    Ok(named)
}

fn progress_bar(n_runs: usize) -> ProgressBar {
    if n_runs < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left");
    ProgressBar::new(n_runs as u64).with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()))
}

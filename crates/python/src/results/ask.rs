//! A question to the runs that Python names.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use epsiloscope_batch::answer_in_turn;
use epsiloscope_format::Run;
use epsiloscope_store::discover;
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyValueError};
use pyo3::prelude::*;

use super::fault::Fault;

/// Answers of the runs that could be read, in order, and what is wrong with the others, a line each.
pub(super) struct Answers<T> {
    pub(super) answers: Vec<T>,
    pub(super) faults: Vec<String>,
}

/// Asks every run, on all cores, without the interpreter's lock. Of runs that cannot be answered Python is warned; an
/// interruption ends the work once the runs in hand are done.
///
/// # Errors
/// The first fault if no run has an answer.
pub(super) fn ask<T: Send>(
    py: Python<'_>,
    runs: &[PathBuf],
    question: impl Fn(&Run) -> Result<T, Fault> + Sync + Send,
) -> PyResult<Answers<T>> {
    refuse_forked()?;
    let (mut answers, mut faults) = (Vec::new(), Vec::<Fault>::new());
    py.detach(|| {
        let found = discover(runs);
        faults.extend(found.faults.into_iter().map(Fault::from));
        answer_in_turn(
            found.runs,
            |run| question(&run),
            |answer| {
                match answer {
                    Ok(answer) => answers.push(answer),
                    Err(fault) => faults.push(fault),
                }
                Python::attach(interruption)
            },
        )
    })?;
    let lines: Vec<String> = faults.iter().map(Fault::line).collect();
    let is_nothing = answers.is_empty();
    for line in lines.iter().skip(usize::from(is_nothing)) {
        warn(py, line)?;
    }
    match faults.into_iter().next() {
        Some(fault) if is_nothing => Err(fault.into()),
        None if is_nothing => Err(PyValueError::new_err("no runs: expected paths, patterns or URLs of recorded runs")),
        _ => Ok(Answers { answers, faults: lines }),
    }
}

/// Control-C, if somebody pressed it.
fn interruption(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}

/// As the caller of our caller.
pub(super) fn warn(py: Python<'_>, line: &str) -> PyResult<()> {
    let message = CString::new(format!("epsiloscope: {line}"))?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 2)
}

/// The process that has asked: threads that answer live in it, and in none that is forked from it.
static ASKER: AtomicU32 = AtomicU32::new(0);

fn refuse_forked() -> PyResult<()> {
    let process = std::process::id();
    match ASKER.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed) {
        Err(asker) if asker != process => Err(PyRuntimeError::new_err(
            "this process was forked from one that has analysed runs, whose threads it lacks: expected the analysis there, or \
             a process that is spawned",
        )),
        _ => Ok(()),
    }
}

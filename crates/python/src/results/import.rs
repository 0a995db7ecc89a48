//! Runs of gradients that were kept elsewhere.

#![expect(clippy::needless_pass_by_value, reason = "what is made of Python's arguments is handed over")]

use std::path::PathBuf;

use epsiloscope_format::escaped;
use epsiloscope_import::tensorboard;
use pyo3::prelude::*;

use super::ask::warn;
use super::fault::Fault;
use super::request::{self, read};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(import_tensorboard, module)?)
}

/// The directories of the runs that were made. Python is warned of what was lost, and of what else is to be known.
#[pyfunction]
fn import_tensorboard(py: Python<'_>, logdir: PathBuf, out: PathBuf, request: &str) -> PyResult<Vec<PathBuf>> {
    let options = read::<request::Import>(request)?.options()?;
    let runs = py.detach(|| tensorboard(&logdir, &out, &options)).map_err(Fault::from)?;
    for line in runs.iter().flat_map(|run| run.faults.iter().chain(&run.notes)) {
        warn(py, &escaped(line))?;
    }
    Ok(runs.into_iter().map(|run| run.dir).collect())
}

//! The extension module behind the Python package `epsiloscope`.
//!
//! What users see is in `python/epsiloscope`; here are the parts of it that work on memory and files. Nothing in this crate
//! knows PyTorch: arrays go in.

use pyo3::prelude::*;

mod recorder;
mod results;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    recorder::register(module)?;
    results::register(module)
}

//! Results of recorded runs for Python: asked as on the command line, handed over as Arrow.
//!
//! Questions run without the interpreter's lock. Nothing is started before the first of them.

mod arrow;
mod ask;
mod fault;
mod import;
mod questions;
mod request;
mod table;

use pyo3::prelude::*;

/// Adds what `epsiloscope` asks.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<table::Results>()?;
    import::register(module)?;
    questions::register(module)
}

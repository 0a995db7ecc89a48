//! Recording from Python: `epsiloscope.torch` hands over arrays, this side counts and writes.

mod device;
mod fault;
mod recording;
mod request;
mod view;

use pyo3::prelude::*;

/// Adds what `epsiloscope.torch` needs.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("RecordingError", module.py().get_type::<fault::RecordingError>())?;
    module.add_class::<recording::Recording>()?;
    device::register(module)
}

//! Faults, and the exceptions that they become.

use epsiloscope_format::FormatError;
use pyo3::PyErr;
use pyo3::exceptions::{PyFileExistsError, PyRuntimeError, PyValueError};

pyo3::create_exception!(epsiloscope, RecordingError, PyRuntimeError, "A recording that cannot begin or go on.");

/// What went wrong in Python, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TrainingFault(pub(crate) String);

/// Why recording could not begin, ended early, or lost something.
pub(crate) type Fault = epsiloscope_recording::RecordingError<TrainingFault>;

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn exception(fault: Fault) -> PyErr {
    let message = fault.to_string();
    match fault {
        Fault::Format(FormatError::AlreadyARun { .. }) => {
            PyFileExistsError::new_err(format!("{message}, resume=<step> to go on with it, or if_exists=\"replace\""))
        }
        Fault::NothingTrainable { .. } | Fault::Pattern { .. } | Fault::Shard { .. } | Fault::UnknownShard { .. } => {
            PyValueError::new_err(message)
        }
        _ => RecordingError::new_err(message),
    }
}

//! A result as Python holds it: rows, how they are told, what is drawn of them.

use epsiloscope_figure::{Figure, Style, svg};
use epsiloscope_raster::png;
use epsiloscope_report::{Told, more_rows};
use polars::prelude::{AnyValue, DataFrame};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict};

use super::arrow;
use super::fault::Fault;

/// Rows that are told; those of thousands of runs take other tools.
pub(super) const MAX_TOLD: usize = 60;

/// Rows of runs.
#[pyclass(module = "epsiloscope._native", frozen)]
pub(crate) struct Results {
    frame: DataFrame,
    told: Told,
    n_untold: usize,
    figure: Figure,
}

impl Results {
    /// `told` leaves so many out; of a frame, the same columns have the same chunks.
    pub(super) fn new(mut frame: DataFrame, told: Told, n_untold: usize, figure: Figure) -> Self {
        frame.align_chunks();
        Self { frame, told, n_untold, figure }
    }
}

#[pymethods]
impl Results {
    fn __len__(&self) -> usize {
        self.frame.height()
    }

    /// Names of the columns and their types, in order.
    fn schema(&self) -> Vec<(String, String)> {
        self.frame.columns().iter().map(|of| (of.name().to_string(), of.dtype().to_string())).collect()
    }

    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let row = |index: usize| {
            let row = PyDict::new(py);
            for column in self.frame.columns() {
                row.set_item(column.name().as_str(), value(py, column.get(index).map_err(Fault::from)?)?)?;
            }
            Ok(row)
        };
        (0..self.frame.height()).map(row).collect()
    }

    fn text(&self) -> String {
        let more = more_rows(self.n_untold).map_or(String::new(), |more| more + "\n");
        format!("{}{more}", self.told)
    }

    fn html(&self) -> String {
        let more = more_rows(self.n_untold).map_or(String::new(), |more| format!("<p>{more}</p>\n"));
        format!("{}{more}", self.told.html())
    }

    fn svg(&self, py: Python<'_>, theme: &str) -> PyResult<String> {
        let theme = theme.parse().map_err(PyValueError::new_err)?;
        Ok(py.detach(|| svg(&self.figure, Style { theme, ..Style::default() })).map_err(Fault::from)?)
    }

    fn png<'py>(&self, py: Python<'py>, theme: &str, scale: f64) -> PyResult<Bound<'py, PyBytes>> {
        let svg = self.svg(py, theme)?;
        Ok(PyBytes::new(py, &py.detach(|| png(&svg, scale)).map_err(Fault::from)?))
    }

    fn arrow_schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, arrow::schema(&self.frame), c"arrow_schema")
    }

    fn arrow_stream<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, arrow::stream(&self.frame), c"arrow_array_stream")
    }
}

/// The types that results have.
fn value<'py>(py: Python<'py>, value: AnyValue<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        AnyValue::Null => py.None().into_bound(py),
        AnyValue::Boolean(value) => value.into_pyobject(py)?.to_owned().into_any(),
        AnyValue::String(value) => value.into_pyobject(py)?.into_any(),
        AnyValue::Int32(value) => value.into_pyobject(py)?.into_any(),
        AnyValue::Int64(value) => value.into_pyobject(py)?.into_any(),
        AnyValue::Float64(value) => value.into_pyobject(py)?.into_any(),
        other => return Err(PyValueError::new_err(format!("no result is of type {}", other.dtype()))),
    })
}

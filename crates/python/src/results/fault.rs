//! Why there is no result, and the exception that becomes of it.

use std::error::Error;
use std::io::ErrorKind;

use epsiloscope_analysis::AnalysisError;
use epsiloscope_batch::Panicked;
use epsiloscope_dataset::DataSetError;
use epsiloscope_figure::FigureError;
use epsiloscope_format::{FormatError, escaped};
use epsiloscope_import::ImportError;
use epsiloscope_raster::RasterError;
use epsiloscope_report::PanelError;
use epsiloscope_store::StoreError;
use polars::error::PolarsError;
use pyo3::PyErr;
use pyo3::exceptions::{
    PyFileExistsError, PyFileNotFoundError, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};

/// What went wrong, as the crate says it where it did.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) enum Fault {
    Store(#[from] StoreError),
    Format(#[from] FormatError),
    Analysis(#[from] AnalysisError),
    DataSet(#[from] DataSetError),
    Import(#[from] ImportError),
    Panel(#[from] PanelError),
    Figure(#[from] FigureError),
    Raster(#[from] RasterError),
    Table(#[from] PolarsError),
    Panicked(#[from] Panicked),
}

impl Fault {
    /// With its causes, on one line, every character of it seen.
    pub(super) fn line(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        let said: Vec<String> = [self.to_string()].into_iter().chain(causes.map(ToString::to_string)).collect();
        escaped(&said.join(": "))
    }

    /// What is wrong with the files of the run, if that is it.
    fn format(&self) -> Option<&FormatError> {
        match self {
            Self::Format(fault)
            | Self::Import(ImportError::Format(fault))
            | Self::Analysis(AnalysisError::Format(fault))
            | Self::Panel(PanelError::Analysis(AnalysisError::Format(fault)))
            | Self::DataSet(DataSetError::Format(fault) | DataSetError::Analysis(AnalysisError::Format(fault))) => {
                Some(fault)
            }
            _ => None,
        }
    }

    /// What the operating system refused.
    fn io_kind(&self) -> Option<ErrorKind> {
        match (self, self.format()) {
            (
                Self::Store(StoreError::Io(fault))
                | Self::DataSet(DataSetError::Io(fault))
                | Self::Import(ImportError::Io(fault)),
                _,
            )
            | (_, Some(FormatError::Io(fault))) => Some(fault.kind()),
            (Self::Store(StoreError::NoMatch { .. }), _)
            | (_, Some(FormatError::NotARun { .. } | FormatError::NoDirectory { .. })) => Some(ErrorKind::NotFound),
            (_, Some(FormatError::AlreadyARun { .. })) => Some(ErrorKind::AlreadyExists),
            (Self::DataSet(DataSetError::Locked { .. }), _) => Some(ErrorKind::WouldBlock),
            _ => None,
        }
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        let line = fault.line();
        match (&fault, fault.io_kind()) {
            (_, Some(ErrorKind::NotFound)) => PyFileNotFoundError::new_err(line),
            (_, Some(ErrorKind::AlreadyExists)) => PyFileExistsError::new_err(line),
            (_, Some(ErrorKind::PermissionDenied)) => PyPermissionError::new_err(line),
            (_, Some(_)) => PyOSError::new_err(line),
            (Fault::Panicked(_) | Fault::Table(_), _) => PyRuntimeError::new_err(line),
            _ => PyValueError::new_err(line),
        }
    }
}

//! Bringing the data set up to date, run by run.

use std::path::Path;

use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_format::{Run, digest};
use polars::prelude::{DataFrame, PolarsResult, df};

use crate::error::DataSetError;
use crate::layout::{Layout, Written};
use crate::results::{Options, results};
use crate::state::State;

/// Changes whenever results do for the same run and options, so that data sets are computed anew.
const RESULTS_VERSION: u32 = 1;

/// A data set of results, open for writing. It is a directory of Parquet files; see [`ResultTable`] for its tables.
pub struct DataSet {
    pub(crate) layout: Layout,
}

/// What bringing a run's results up to date came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// They were computed.
    Computed {
        /// Rows of all tables.
        rows: u64,
        /// Bytes of all files.
        bytes: u64,
    },
    /// They were up to date.
    Unchanged,
}

impl Update {
    /// Rows and bytes that were written.
    pub fn size(self) -> (u64, u64) {
        match self {
            Self::Computed { rows, bytes } => (rows, bytes),
            Self::Unchanged => (0, 0),
        }
    }
}

/// One row per run: what was done, and how much came of it.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn update_table(updates: &[(String, Update)]) -> PolarsResult<DataFrame> {
    let word = |update: &Update| if *update == Update::Unchanged { "unchanged" } else { "computed" };
    df![
        "run" => updates.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(),
        "result" => updates.iter().map(|(_, update)| word(update)).collect::<Vec<_>>(),
        "rows" => updates.iter().map(|(_, update)| update.size().0 as i64).collect::<Vec<_>>(),
        "bytes" => updates.iter().map(|(_, update)| update.size().1 as i64).collect::<Vec<_>>(),
    ]
}

impl DataSet {
    /// Opens the data set in `root`; an absent one is made.
    ///
    /// # Errors
    /// [`DataSetError::Locked`] if another process is writing it; [`DataSetError::Io`] if the directory cannot be made.
    pub fn open(root: &Path) -> Result<Self, DataSetError> {
        Ok(Self { layout: Layout::open(root)? })
    }

    /// Computes a run's tables and writes them, unless they are those of this run as it is, these options and this version
    /// of the program.
    ///
    /// May be called for several runs at once. An interruption leaves each run's results as they were, as they should be,
    /// or marked to be computed anew.
    ///
    /// # Errors
    /// [`DataSetError::Format`] and [`DataSetError::Analysis`] if the run cannot be read or analysed: what was computed of it
    /// before stays. [`DataSetError::Io`] if the results cannot be written.
    pub fn update(&self, run: &Run, options: &Options) -> Result<Update, DataSetError> {
        let name = &run.manifest().run;
        let fingerprint = fingerprint(run, options);
        let before = State::read(&self.layout, name);
        if before.as_ref().is_some_and(|state| state.is_current(&self.layout, &fingerprint)) {
            return Ok(Update::Unchanged);
        }
        let tables = results(run, options)?;
        State::remove(&self.layout, name)?;
        let tables = self.write(name, &tables)?;
        let sum = |value: fn(&Written) -> u64| tables.iter().map(value).sum();
        let computed = Update::Computed { rows: sum(|written| written.rows), bytes: sum(|written| written.bytes) };
        State { run: name.clone(), fingerprint, tables }.write(&self.layout)?;
        Ok(computed)
    }

    /// Writes the tables that a run has; of those that it has no longer nothing stays.
    fn write(&self, run: &str, tables: &[(ResultTable, DataFrame)]) -> Result<Vec<Written>, DataSetError> {
        for table in ResultTable::PER_RUN {
            if !tables.iter().any(|(given, _)| *given == table) {
                self.layout.remove(table, run)?;
            }
        }
        tables.iter().map(|(table, frame)| self.layout.write(*table, run, frame)).collect()
    }
}

fn fingerprint(run: &Run, options: &Options) -> String {
    let program = (env!("CARGO_PKG_VERSION"), RESULTS_VERSION);
    digest(format!("{program:?} {} {options:?}", run.fingerprint()).as_bytes())
}

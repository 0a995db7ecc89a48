//! A data set, opened for reading: nothing is locked, made or changed, and no link followed.

use std::path::{Path, PathBuf};

use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_format::{Local, Storage};
use polars::prelude::DataFrame;

use crate::error::DataSetError;
use crate::layout::{MAX_FILE_BYTES, MAX_STATE_BYTES, PART, STATE_DIR, Written, admit, decoded, partition};
use crate::state::State;

/// A data set of results, open for reading.
#[derive(Debug)]
pub struct Stored {
    storage: Local,
    root: PathBuf,
}

/// A file of a data set: the table of one run, or one about several.
#[derive(Clone, Debug)]
pub struct StoredTable {
    /// The table.
    pub table: ResultTable,
    /// The run; none of a table about several.
    pub run: Option<String>,
    file: PathBuf,
    written: Option<Written>,
}

impl Stored {
    /// Whether a directory is a data set.
    pub fn is_one(root: &Path) -> bool {
        root.join(STATE_DIR).is_dir()
    }

    /// The data set in `root`.
    pub fn new(root: &Path) -> Self {
        Self { storage: Local::new(root), root: root.to_owned() }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files of all tables, run by run in the order of their names. A run whose results are being written has none.
    ///
    /// # Errors
    /// [`DataSetError::Format`] if the directory cannot be read.
    pub fn tables(&self) -> Result<Vec<StoredTable>, DataSetError> {
        let mut names = self.storage.list(Path::new(STATE_DIR))?;
        names.retain(|name| Path::new(name).extension().is_some_and(|kind| kind == "json"));
        let mut states = names.iter().filter_map(|name| self.state(name)).collect::<Vec<_>>();
        states.sort_by(|a, b| a.run.cmp(&b.run));
        let mut tables: Vec<StoredTable> = states.into_iter().flat_map(of_run).collect();
        let across = [ResultTable::Drift, ResultTable::Spread, ResultTable::Faults];
        tables.extend(across.into_iter().filter_map(|table| self.across(table)));
        Ok(tables)
    }

    fn state(&self, name: &str) -> Option<State> {
        let bytes = self.storage.read(&Path::new(STATE_DIR).join(name), &admit(name.as_ref(), MAX_STATE_BYTES)).ok()?;
        State::parse(&bytes)
    }

    fn across(&self, table: ResultTable) -> Option<StoredTable> {
        let file = Path::new(table.name()).join(PART);
        let is_there = self.root.join(&file).symlink_metadata().is_ok();
        is_there.then_some(StoredTable { table, run: None, file, written: None })
    }

    /// Where a file is.
    pub fn path(&self, of: &StoredTable) -> PathBuf {
        self.root.join(&of.file)
    }

    /// The rows of a file, with every column of the table but the run where it is about one.
    ///
    /// # Errors
    /// [`DataSetError::Damaged`] if it is not what was written, or holds other columns; [`DataSetError::Format`] if it cannot
    /// be read.
    pub fn read(&self, of: &StoredTable) -> Result<DataFrame, DataSetError> {
        let path = self.path(of);
        let bytes = self.storage.read(&of.file, &admit(&path, MAX_FILE_BYTES))?;
        let frame = decoded(&path, bytes, of.written.as_ref())?;
        // A file without rows has no columns either.
        if frame.width() == 0 {
            return Ok(of.empty());
        }
        match contradiction(of, &frame) {
            None => Ok(frame),
            Some(reason) => Err(DataSetError::Damaged { path, reason }),
        }
    }
}

impl StoredTable {
    /// How many rows were written; none of a table about several runs, which does not say.
    pub fn n_rows(&self) -> u64 {
        self.written.as_ref().map_or(0, |written| written.rows)
    }

    fn columns(&self) -> Vec<epsiloscope_analysis::schema::Column> {
        let mut columns = self.table.columns();
        columns.retain(|column| self.run.is_none() || column.name != "run");
        columns
    }

    fn empty(&self) -> DataFrame {
        let columns = self.columns();
        let column = |of: &epsiloscope_analysis::schema::Column| {
            polars::prelude::Column::new_empty(of.name.into(), &of.data_type)
        };
        DataFrame::new(0, columns.iter().map(column).collect()).unwrap_or_default()
    }
}

fn of_run(state: State) -> impl Iterator<Item = StoredTable> {
    let run = state.run;
    state.tables.into_iter().filter_map(move |written| {
        let table = ResultTable::named(&written.table)?;
        let file = Path::new(table.name()).join(partition(&run)).join(PART);
        Some(StoredTable { table, run: Some(run.clone()), file, written: Some(written) })
    })
}

/// What is wrong with a file's columns, if anything is.
fn contradiction(of: &StoredTable, frame: &DataFrame) -> Option<String> {
    let expected: Vec<(&str, _)> = of.columns().into_iter().map(|column| (column.name, column.data_type)).collect();
    let found: Vec<(&str, _)> =
        frame.columns().iter().map(|column| (column.name().as_str(), column.dtype().clone())).collect();
    (expected != found).then(|| format!("columns {found:?}: expected {expected:?}"))
}

//! The tables of some runs or of a data set, and statements over them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use epsiloscope_analysis::EstimateOptions;
use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_dataset::Stored;
use epsiloscope_format::schema::Table;
use epsiloscope_format::{PartEntry, Run};
use epsiloscope_histogram::bins::{MAX_BIN, MIN_BIN};
use epsiloscope_histogram::{BINS_PER_DECADE, BinRange};
use polars::prelude::*;
use polars::sql::SQLContext;

use crate::duckdb::sql_type;
use crate::error::{QueryError, one_line};
use crate::plan::folded;
use crate::result_types::plain;
use crate::scan::{Limits, TableScan, locked};
use crate::source::{Rows, Source};
use crate::statement::relations;

/// Tables to ask, and nothing else.
pub struct Database {
    pub(crate) tables: Vec<NamedTable>,
    n_owners: usize,
}

/// A table: its columns, and where its rows are.
pub(crate) struct NamedTable {
    pub(crate) name: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) sources: Vec<Arc<Source>>,
}

/// What a statement came to.
#[derive(Debug)]
pub struct Answer {
    /// The rows; none if no run could be read.
    pub frame: Option<DataFrame>,
    /// What is wrong with the runs that were left out.
    pub faults: Vec<QueryError>,
}

impl Database {
    /// The tables of runs, the run's name in front of every one; `estimates` as the options say, once they are asked for.
    pub fn of_runs(runs: Vec<Run>, options: EstimateOptions) -> Self {
        let runs: Vec<Arc<Run>> = runs.into_iter().map(Arc::new).collect();
        let options = Arc::new(options);
        let each = |rows: &dyn Fn(&Arc<Run>) -> Rows| {
            let source = |(owner, run)| Arc::new(Source { owner: Some(owner), n_rows: 1, rows: rows(run) });
            runs.iter().enumerate().map(source).collect()
        };
        let estimates = |run: &Arc<Run>| Rows::Estimates(Arc::clone(run), Arc::clone(&options));
        let mut tables = vec![NamedTable::of_runs(each(&|run| Rows::Run(Arc::clone(run))))];
        tables.extend(Table::ALL.map(|table| NamedTable::of_parts(table, &runs)));
        tables.push(NamedTable::of_results(ResultTable::Estimates, each(&estimates)));
        tables.push(NamedTable::bins());
        Self { tables, n_owners: runs.len() }
    }

    /// The tables of a data set.
    ///
    /// # Errors
    /// [`QueryError::DataSet`] if it cannot be read.
    pub fn of_data_set(stored: Stored) -> Result<Self, QueryError> {
        let stored = Arc::new(stored);
        let mut owners: BTreeMap<Option<String>, usize> = BTreeMap::new();
        let mut sources: BTreeMap<ResultTable, Vec<Arc<Source>>> = BTreeMap::new();
        for file in stored.tables()? {
            let n_owners = owners.len();
            let owner = *owners.entry(file.run.clone()).or_insert(n_owners);
            let (table, n_rows) = (file.table, file.n_rows());
            let rows = Rows::Stored(Arc::clone(&stored), file);
            sources.entry(table).or_default().push(Arc::new(Source { owner: Some(owner), n_rows, rows }));
        }
        let of_table = |table| NamedTable::of_results(table, sources.remove(&table).unwrap_or_default());
        let mut tables: Vec<NamedTable> = ResultTable::ALL.into_iter().map(of_table).collect();
        tables.push(NamedTable::bins());
        Ok(Self { tables, n_owners: owners.len() })
    }

    /// Every column of every table: `table`, `column`, `type`.
    ///
    /// # Errors
    /// What polars brings.
    pub fn columns(&self) -> PolarsResult<DataFrame> {
        let columns = self
            .tables
            .iter()
            .flat_map(|table| table.schema.iter().map(|(name, kind)| (table.name, name.as_str(), sql_type(kind))));
        let columns: Vec<_> = columns.collect();
        df![
            "table" => columns.iter().map(|column| column.0).collect::<Vec<_>>(),
            "column" => columns.iter().map(|column| column.1).collect::<Vec<_>>(),
            "type" => columns.iter().map(|column| column.2).collect::<Vec<_>>(),
        ]
    }

    /// Answers one statement that reads, with at most so many bytes of rows of a table at a time. Runs that turn out to be
    /// damaged where it reads them are left out of the whole answer.
    ///
    /// # Errors
    /// [`QueryError`] if the statement is at fault, or something that is of no run.
    pub fn query(&self, sql: &str, memory_bytes: usize) -> Result<Answer, QueryError> {
        let named = relations(sql)?;
        let mut faults: BTreeMap<usize, QueryError> = BTreeMap::new();
        loop {
            let limits = Limits {
                bytes: memory_bytes,
                exceeded_by: Arc::default(),
                faults: Arc::new(Mutex::new(BTreeMap::new())),
            };
            let left_out: BTreeSet<usize> = faults.keys().copied().collect();
            let result = self.attempt(sql, &named, &left_out, &limits);
            let found = std::mem::take(&mut *locked(&limits.faults));
            match result {
                Ok(frame) => {
                    let frame = (faults.is_empty() || faults.len() < self.n_owners).then_some(frame);
                    return Ok(Answer { frame, faults: faults.into_values().collect() });
                }
                Err(reason) if found.is_empty() => return Err(self.refusal(&reason, &named, &limits)),
                Err(_of_a_run) => faults.extend(found),
            }
        }
    }

    /// The statement over all runs but some.
    fn attempt(
        &self,
        sql: &str,
        named: &BTreeSet<String>,
        left_out: &BTreeSet<usize>,
        limits: &Limits,
    ) -> Result<DataFrame, String> {
        let answer = || -> Result<DataFrame, QueryError> {
            let mut context = SQLContext::new();
            for table in self.tables.iter().filter(|table| named.contains(table.name)) {
                context.register(table.name, table.scan(left_out, limits).lazy()?);
            }
            let plan = folded(&context.execute(sql)?.logical_plan)?;
            plain(&LazyFrame::from(plan).collect()?)
        };
        match catch_unwind(AssertUnwindSafe(answer)) {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(QueryError::Rows(fault))) => Err(one_line(&fault.to_string())),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_panic) => Err("the SQL engine cannot answer this statement".to_owned()),
        }
    }

    fn refusal(&self, reason: &str, named: &BTreeSet<String>, limits: &Limits) -> QueryError {
        match *locked(&limits.exceeded_by) {
            Some(table) => QueryError::TooLarge { table, bytes: limits.bytes },
            None => QueryError::Engine { reason: reason.to_owned(), hint: self.hint(named) },
        }
    }

    /// The columns of the tables that are named, or else which tables there are.
    fn hint(&self, named: &BTreeSet<String>) -> String {
        let known: Vec<&NamedTable> = self.tables.iter().filter(|table| named.contains(table.name)).collect();
        let names: Vec<&str> = self.tables.iter().map(|table| table.name).collect();
        let tables = format!("tables: {}", names.join(", "));
        let columns = |table: &&NamedTable| {
            let columns: Vec<&str> = table.schema.iter_names().map(PlSmallStr::as_str).collect();
            format!("columns of {}: {}", table.name, columns.join(", "))
        };
        known.iter().map(columns).chain([tables]).collect::<Vec<_>>().join("; ")
    }
}

impl NamedTable {
    /// What runs lack is known once they are analysed.
    fn of_runs(sources: Vec<Arc<Source>>) -> Self {
        let table = Self::of_results(ResultTable::Runs, sources);
        let mut schema = (*table.schema).clone();
        schema.shift_remove("lacks");
        Self { schema: Arc::new(schema), ..table }
    }

    fn of_results(table: ResultTable, sources: Vec<Arc<Source>>) -> Self {
        let mut columns = table.columns();
        // Drift, spread and faults keep the order of their files.
        columns.sort_by_key(|column| column.name != "run");
        let schema = columns.into_iter().map(|column| (column.name.into(), column.data_type)).collect::<Schema>();
        Self { name: table.name(), schema: Arc::new(schema), sources }
    }

    fn of_parts(table: Table, runs: &[Arc<Run>]) -> Self {
        let source = |owner, run: &Arc<Run>, (rank, entry): (usize, &PartEntry)| {
            let rows = Rows::Part { run: Arc::clone(run), rank, entry: entry.clone() };
            Arc::new(Source { owner: Some(owner), n_rows: entry.rows, rows })
        };
        let sources = runs.iter().enumerate().flat_map(|(owner, run)| {
            run.ranked_parts(table)
                .filter(|(_, entry)| entry.first_step <= run.last_step())
                .map(move |part| source(owner, run, part))
                .collect::<Vec<_>>()
        });
        let columns =
            table.columns().into_iter().map(|column| (column.name.into(), polars_type(&column.data_type.to_string())));
        let schema = [("run".into(), DataType::String)].into_iter().chain(columns).collect::<Schema>();
        Self { name: table.name(), schema: Arc::new(schema), sources: sources.collect() }
    }

    /// Every bin with its edges, in the order of magnitudes.
    fn bins() -> Self {
        let bins: Vec<i32> = (MIN_BIN..=MAX_BIN).collect();
        let edges = |edge: fn(BinRange) -> f64| {
            bins.iter().map(|&bin| edge(BinRange { bin, bins_per_decade: BINS_PER_DECADE })).collect::<Vec<_>>()
        };
        let columns = vec![
            Column::new("bin".into(), &bins),
            Column::new("lower".into(), edges(BinRange::lower)),
            Column::new("upper".into(), edges(BinRange::upper)),
        ];
        let frame = DataFrame::new(bins.len(), columns).expect("columns of one length");
        let schema = frame.schema().clone();
        let source = Source { owner: None, n_rows: bins.len() as u64, rows: Rows::Frame(frame) };
        Self { name: "bins", schema, sources: vec![Arc::new(source)] }
    }

    fn scan(&self, left_out: &BTreeSet<usize>, limits: &Limits) -> TableScan {
        let is_in = |source: &&Arc<Source>| source.owner.is_none_or(|owner| !left_out.contains(&owner));
        let sources = self.sources.iter().filter(is_in).cloned().collect();
        TableScan { name: self.name, schema: self.schema.clone(), sources, limits: limits.clone() }
    }
}

/// Polars' name for one of the types of a run's tables.
fn polars_type(arrow: &str) -> DataType {
    match arrow {
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "Float32" => DataType::Float32,
        "Float64" => DataType::Float64,
        "Boolean" => DataType::Boolean,
        "Utf8" => DataType::String,
        _timestamp => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
    }
}

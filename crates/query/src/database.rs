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
use crate::error::{QueryError, reason};
use crate::plan::folded;
use crate::result_types::plain;
use crate::scan::{Limits, TableScan, locked};
use crate::source::{Rows, Source};
use crate::statement::relations;

/// Rows that are aggregated at a time: enough work for all cores, little memory.
const BATCH_ROWS: u64 = 1 << 20;

/// The table of bins with their edges.
pub(crate) const BINS: &str = "bins";

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
            let source = Source { owner: Some(owner), n_rows, rows: Rows::Stored(Arc::clone(&stored), file) };
            sources.entry(table).or_default().push(Arc::new(source));
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
                batch_rows: BATCH_ROWS,
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
                Err(said) if found.is_empty() => return Err(self.refusal(&said, &named, &limits)),
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
            Ok(Err(QueryError::Rows(fault))) => Err(reason(&fault.to_string())),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_panic) => Err("the SQL engine cannot answer this statement".to_owned()),
        }
    }

    fn refusal(&self, said: &str, named: &BTreeSet<String>, limits: &Limits) -> QueryError {
        match *locked(&limits.exceeded_by) {
            Some(table) => QueryError::TooLarge { table, bytes: limits.bytes },
            None => QueryError::Engine { reason: said.to_owned(), hint: self.hint(named) },
        }
    }

    /// The columns of the tables that are named, or else which tables there are.
    fn hint(&self, named: &BTreeSet<String>) -> String {
        let asked = self.tables.iter().filter(|table| named.contains(table.name));
        let all: Vec<&str> = self.tables.iter().map(|table| table.name).collect();
        let tables = format!("tables: {}", all.join(", "));
        let columns = |table: &NamedTable| {
            let columns: Vec<&str> = table.schema.iter_names().map(PlSmallStr::as_str).collect();
            format!("columns of {}: {}", table.name, columns.join(", "))
        };
        asked.map(columns).chain([tables]).collect::<Vec<_>>().join("; ")
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
        Self { name: BINS, schema, sources: vec![Arc::new(source)] }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Statements whose every part can be taken part by part, or must not be.
    const STATEMENTS: [&str; 22] = [
        "SELECT count(*) AS n, sum(count) AS s, min(count) AS low, max(bin) AS high, avg(count) AS mean FROM t",
        "SELECT name, count(*) AS n, sum(count) AS s FROM t GROUP BY name",
        "SELECT name, bin % 3 AS third, avg(x) AS mean, count(x) AS known FROM t GROUP BY name, third",
        "SELECT name, sum(count) AS s FROM t GROUP BY name HAVING count(*) > 3",
        "SELECT name, sum(count) AS s FROM t GROUP BY name HAVING sum(count) > 10 ORDER BY s DESC, name LIMIT 2",
        "SELECT name, 2 * sum(count) + 1 AS s, max(x) - min(x) AS wide FROM t WHERE bin > 0 GROUP BY name",
        "SELECT sum(count) FILTER (WHERE bin < 0) AS below, count(*) FILTER (WHERE x IS NULL) AS gaps FROM t",
        "SELECT name, count(DISTINCT bin) AS bins FROM t GROUP BY name",
        "SELECT DISTINCT name FROM t",
        "SELECT DISTINCT name, bin FROM t WHERE count > 2",
        "SELECT * FROM t ORDER BY bin, count, name, x LIMIT 5",
        "SELECT name, bin FROM t ORDER BY bin DESC, name LIMIT 4 OFFSET 3",
        "SELECT * FROM t LIMIT 7",
        "SELECT name, x FROM t WHERE x IS NOT NULL LIMIT 3",
        "SELECT u.name, sum(u.n) AS n FROM (SELECT name, bin, count(*) AS n FROM t GROUP BY name, bin) u GROUP BY u.name",
        "WITH a AS (SELECT name, sum(count) AS s FROM t GROUP BY name) SELECT t.name, a.s, count(*) AS n FROM t \
         JOIN a ON t.name = a.name GROUP BY t.name, a.s",
        "SELECT name, sum(count) AS s FROM t GROUP BY name UNION ALL SELECT 'all' AS name, sum(count) AS s FROM t",
        "SELECT name, bin, sum(count) OVER (PARTITION BY name ORDER BY bin, count) AS below FROM t",
        "SELECT CASE WHEN bin < 0 THEN 'low' ELSE 'high' END AS half, max(x) AS high FROM t GROUP BY half",
        "SELECT sum(x) AS s, avg(x) AS mean, min(x) AS low FROM t WHERE bin > 1000",
        "SELECT name, sum(count) / (SELECT sum(count) FROM t) AS share FROM t GROUP BY name",
        "SELECT count(*) AS n, max(name) AS last, median(bin) AS middle FROM t",
    ];

    fn rows() -> impl Strategy<Value = DataFrame> {
        let row = ("[a-d]", -5i32..5, 0i64..9, proptest::option::of(-64i32..64));
        proptest::collection::vec(row, 0..12).prop_map(|rows| {
            df![
                "name" => rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(),
                "bin" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
                "count" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
                // Sums of these are exact in any order.
                "x" => rows.iter().map(|row| row.3.map(|x| x as f32 / 8.0)).collect::<Vec<_>>(),
            ]
            .expect("columns of one length")
        })
    }

    fn database(frames: &[DataFrame]) -> Database {
        let source = |frame: &DataFrame| {
            Arc::new(Source { owner: None, n_rows: frame.height() as u64, rows: Rows::Frame(frame.clone()) })
        };
        let schema = frames[0].schema().clone();
        let table = NamedTable { name: "t", schema, sources: frames.iter().map(source).collect() };
        Database { tables: vec![table], n_owners: 0 }
    }

    /// What our plan makes of a statement, so many rows at a time.
    fn ours(frames: &[DataFrame], sql: &str, batch_rows: u64) -> Result<DataFrame, String> {
        let limits = Limits {
            bytes: usize::MAX,
            batch_rows,
            exceeded_by: Arc::default(),
            faults: Arc::new(Mutex::new(BTreeMap::new())),
        };
        database(frames).attempt(sql, &relations(sql).expect("it reads"), &BTreeSet::new(), &limits)
    }

    /// What polars makes of it with all rows at once, in double precision.
    fn polars(frames: &[DataFrame], sql: &str) -> Result<DataFrame, String> {
        let mut all = frames[0].clone();
        for frame in &frames[1..] {
            all.vstack_mut(frame).expect("the same columns");
        }
        all.apply("x", |x| x.cast(&DataType::Float64).expect("a wider type")).expect("a column");
        let mut context = SQLContext::new();
        context.register("t", all.lazy());
        let frame = context.execute(sql).and_then(LazyFrame::collect).map_err(|fault| fault.to_string())?;
        plain(&frame).map_err(|fault| fault.to_string())
    }

    /// Rows in an order of their own where the statement gives none, numbers in their widest type.
    fn comparable(frame: &DataFrame, sql: &str) -> Vec<String> {
        let cell = |cell: AnyValue<'_>| match cell {
            AnyValue::Null => "null".to_owned(),
            cell if cell.is_primitive_numeric() => format!("{:?}", cell.extract::<f64>()),
            cell => cell.to_string(),
        };
        let row =
            |index| frame.columns().iter().map(|column| cell(column.get(index).expect("a row"))).collect::<Vec<_>>();
        let mut rows: Vec<String> = (0..frame.height()).map(|index| row(index).join(" ")).collect();
        if !sql.contains("ORDER BY bin") && !sql.contains("ORDER BY s") {
            rows.sort();
        }
        rows
    }

    proptest! {
        // Each case is dozens of statements.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn part_by_part_is_as_all_at_once(frames in proptest::collection::vec(rows(), 1..5)) {
            for sql in STATEMENTS {
                let expected = polars(&frames, sql).map(|frame| comparable(&frame, sql));
                for batch_rows in [1, 10, u64::MAX] {
                    let found = ours(&frames, sql, batch_rows).map(|frame| comparable(&frame, sql));
                    prop_assert_eq!(found.is_ok(), expected.is_ok(), "{}: {:?}, {:?}", sql, found, expected);
                    if let (Ok(found), Ok(expected)) = (&found, &expected) {
                        prop_assert_eq!(found, expected, "{} by {}", sql, batch_rows);
                    }
                }
            }
        }
    }

    #[test]
    fn integers_that_do_not_fit_are_an_error_never_a_wrong_sum() {
        let big = df!["name" => ["a", "a"], "count" => [i64::MAX, 1]].unwrap();
        for sql in ["SELECT sum(count) AS s FROM t", "SELECT name, sum(count) AS s FROM t GROUP BY name"] {
            assert!(ours(std::slice::from_ref(&big), sql, 1).is_err(), "{sql}");
        }
        let halves = [big.slice(0, 1), big.slice(1, 1)];
        assert!(ours(&halves, "SELECT sum(count) AS s FROM t", 1).is_err());
        assert!(ours(&halves, "SELECT sum(count) - 9 AS s FROM t WHERE count < 5", 1).is_ok());
    }

    #[test]
    fn groups_come_in_the_order_of_their_first_rows() {
        let frames = [df!["name" => ["c", "a"]].unwrap(), df!["name" => ["b", "a", "d"]].unwrap()];
        for sql in ["SELECT name, count(*) AS n FROM t GROUP BY name", "SELECT DISTINCT name FROM t"] {
            for batch_rows in [1, 100] {
                let found = ours(&frames, sql, batch_rows).unwrap();
                let names: Vec<_> = found.column("name").unwrap().str().unwrap().iter().flatten().collect();
                assert_eq!(names, ["c", "a", "b", "d"], "{sql} by {batch_rows}");
            }
        }
    }
}

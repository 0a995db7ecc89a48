//! What a statement is, before it is run: one, read-only, over tables alone.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};

use crate::database::BINS;
use crate::error::{QueryError, one_line};

/// The relations that a statement names, if it only reads.
///
/// # Errors
/// [`QueryError::Syntax`] if it is not one statement, [`QueryError::Writes`] if it would change anything or read files by
/// itself.
pub(crate) fn relations(sql: &str) -> Result<BTreeSet<String>, QueryError> {
    // As polars parses it.
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    let parser = Parser::new(&GenericDialect).with_options(options).try_with_sql(sql);
    let syntax = |fault: sqlparser::parser::ParserError| {
        let text = one_line(&fault.to_string());
        QueryError::Syntax { reason: text.trim_start_matches("sql parser error: ").to_owned() }
    };
    let statements = parser.and_then(|mut parser| parser.parse_statements()).map_err(syntax)?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return Err(match statements.iter().find(|statement| !matches!(statement, Statement::Query(_))) {
            Some(other) => writes(other),
            None => QueryError::Syntax { reason: format!("{} statements: expected one", statements.len()) },
        });
    };
    let mut reads = Reads::default();
    match query.visit(&mut reads) {
        ControlFlow::Break(statement) => Err(QueryError::Writes { statement }),
        ControlFlow::Continue(()) => Ok(reads.relations),
    }
}

/// Whether a statement asks of nothing but the table of bins, which is the same without any run.
///
/// # Errors
/// [`QueryError::Syntax`] and [`QueryError::Writes`], as when it is asked.
pub fn needs_no_run(sql: &str) -> Result<bool, QueryError> {
    let named = relations(sql)?;
    Ok(!named.is_empty() && named.iter().all(|name| name == BINS))
}

fn writes(statement: &Statement) -> QueryError {
    let text = statement.to_string();
    QueryError::Writes { statement: text.split([' ', '(']).next().unwrap_or_default().to_uppercase() }
}

/// What a query reads; breaks off with the word for anything else that it does.
#[derive(Default)]
struct Reads {
    relations: BTreeSet<String>,
}

impl Visitor for Reads {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        match &*query.body {
            SetExpr::Insert(_) => ControlFlow::Break("INSERT".to_owned()),
            SetExpr::Update(_) => ControlFlow::Break("UPDATE".to_owned()),
            SetExpr::Delete(_) => ControlFlow::Break("DELETE".to_owned()),
            SetExpr::Merge(_) => ControlFlow::Break("MERGE".to_owned()),
            SetExpr::Table(table) => {
                self.relations.extend(table.table_name.clone());
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.into.is_some() { ControlFlow::Break("SELECT INTO".to_owned()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                ControlFlow::Break(format!("{name}()"))
            }
            TableFactor::TableFunction { expr, .. } => ControlFlow::Break(format!("TABLE({expr})")),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let name = relation.0.last().and_then(|part| part.as_ident());
        self.relations.extend(name.map(|ident| ident.value.clone()));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_reads_says_what() {
        let sql = "WITH a AS (SELECT * FROM runs) SELECT * FROM a JOIN (SELECT bin FROM histograms) h ON true";
        assert_eq!(relations(sql).unwrap().into_iter().collect::<Vec<_>>(), ["a", "histograms", "runs"]);
        assert!(relations("SELECT 1;").unwrap().is_empty());
    }

    #[test]
    fn bins_alone_need_no_run() {
        assert!(needs_no_run("SELECT a.bin FROM bins a JOIN bins b ON a.bin = b.bin + 1").unwrap());
        for sql in ["SELECT 1", "SELECT * FROM steps", "SELECT * FROM bins JOIN steps ON true"] {
            assert!(!needs_no_run(sql).unwrap(), "{sql}");
        }
    }

    #[test]
    fn whatever_does_more_is_refused() {
        for (sql, word) in [
            ("CREATE TABLE a AS SELECT 1", "CREATE"),
            ("DROP TABLE runs", "DROP"),
            ("INSERT INTO runs VALUES (1)", "INSERT"),
            ("WITH a AS (SELECT 1) INSERT INTO runs SELECT * FROM a", "INSERT"),
            ("DELETE FROM runs", "DELETE"),
            ("UPDATE runs SET run = 1", "UPDATE"),
            ("TRUNCATE TABLE runs", "TRUNCATE"),
            ("COPY runs TO 'x.csv'", "COPY"),
            ("SELECT * INTO x FROM runs", "SELECT INTO"),
            ("SELECT * FROM read_parquet('/etc/passwd')", "read_parquet()"),
            ("ATTACH DATABASE 'x' AS y", "ATTACH"),
            ("SELECT 1; DROP TABLE runs", "DROP"),
        ] {
            match relations(sql) {
                Err(QueryError::Writes { statement }) => assert_eq!(statement, word, "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        for sql in ["", "SELEC 1", "SELECT 1; SELECT 2", &"(".repeat(10_000)] {
            assert!(matches!(relations(sql), Err(QueryError::Syntax { .. })));
        }
    }
}

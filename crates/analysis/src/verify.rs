//! Whether a run is what it says it is: every file, every row, every sum that can be checked. Nothing is repaired.
//!
//! Rows of all tables and ranks are read side by side, in order of steps, so that what belongs to a step is at hand
//! together and forgotten after it: memory grows with the tensors of a run, not with its steps.
//!
//! | finding | severity | what is wrong |
//! |---|---|---|
//! | `missing`, `size`, `digest`, `footer`, `schema`, `content` | error | a listed part cannot be read as it was written |
//! | `duplicate` | error | a part or a row is there twice |
//! | `order` | error | rows are not sorted by step, tensor, quantity, element or bin |
//! | `listed_steps` | error | a part's first or last step is not the listed one |
//! | `range` | error | a value that cannot be: a negative magnitude, a bin that no float has, an element beyond its tensor |
//! | `counts` | error | bins, zeros, NaN and infinities do not add up to the elements |
//! | `numel` | error | a step has more or fewer elements of a tensor than the manifest says |
//! | `elements` | error | more or fewer of them were recorded |
//! | `extremes`, `sum_of_squares` | error | a tensor's summary contradicts its bins or itself |
//! | `no_summary` | error | magnitudes or bins without a row of `tensors` |
//! | `no_step` | error | a step without a row of `steps` |
//! | `totals` | error | rows or steps are not those that the manifest of the finished run counts |
//! | `file_totals` | warning | its files and bytes are not: a compaction was interrupted |
//! | `gap`, `dropped` | warning | steps that were to be recorded and are not |
//! | `orphan`, `superseded` | warning | files that are never read |

mod finding;
mod ledger;
mod rows;
mod stream;

use std::path::Path;

use epsiloscope_format::{Run, Status, Table, Totals};

pub use finding::{Finding, Kind, Severity, findings_table};

use crate::error::AnalysisError;
use finding::Findings;
use ledger::Ledger;
use stream::Streams;

/// Checks a run, from its files down to its rows; what is wrong with it, sorted by table, file and kind.
///
/// # Errors
/// [`AnalysisError::Format`] if a folder cannot be listed.
pub fn verify(run: &Run) -> Result<Vec<Finding>, AnalysisError> {
    let mut findings = Findings::default();
    check_rows(run, &mut findings);
    check_totals(run, &mut findings);
    check_steps(run, &mut findings);
    check_leftovers(run, &mut findings)?;
    Ok(findings.sorted())
}

fn check_rows(run: &Run, findings: &mut Findings) {
    let mut streams = Streams::of(run, findings);
    let mut ledger = Ledger::new(run);
    while let Some(batch) = streams.next(findings) {
        match batch {
            Ok((place, rows)) => {
                rows::check_values(run, place, &rows, findings);
                ledger.take(place, &rows);
            }
            Err(part) => ledger.leave_out(part),
        }
        ledger.settle(streams.first_step_to_come(), findings);
    }
}

/// The lists of parts against the manifest of a finished run, which counts what rank 0 wrote.
fn check_totals(run: &Run, findings: &mut Findings) {
    if run.manifest().status != Status::Finished {
        return;
    }
    let mut found = Totals::default();
    let own = Table::ALL.into_iter().flat_map(|table| run.ranked_parts(table)).filter(|&(rank, _)| rank == 0);
    found.extend(own.map(|(_, part)| part));
    let expected = run.manifest().totals.clone().unwrap_or_default();
    let mut compare = |kind, table, what: &str, expected: u64, found: u64| {
        if expected != found {
            let place = (table, Some(Path::new("run.json")), None);
            findings.add(kind, place, || (format!("{expected} {what}"), found.to_string()));
        }
    };
    compare(Kind::Totals, Some(Table::Steps), "steps", expected.steps, found.steps);
    for table in Table::ALL {
        let of = |totals: &Totals| totals.tables.get(&table).copied().unwrap_or_default();
        let (expected, found) = (of(&expected), of(&found));
        compare(Kind::Totals, Some(table), "rows", expected.rows, found.rows);
        compare(Kind::FileTotals, Some(table), "parts", expected.parts, found.parts);
        compare(Kind::FileTotals, Some(table), "bytes", expected.bytes, found.bytes);
    }
}

fn check_steps(run: &Run, findings: &mut Findings) {
    if run.dropped_steps() > 0 {
        let found = run.dropped_steps().to_string();
        findings.add(Kind::Dropped, (Some(Table::Steps), None, None), || ("0 dropped steps".to_owned(), found));
    }
    // Where `steps` cannot be read, that has been found.
    for (first, last) in run.missing_steps().unwrap_or_default() {
        let found = if first == last { format!("no step {first}") } else { format!("no steps {first} to {last}") };
        findings.add(Kind::Gap, (Some(Table::Steps), None, Some(first)), || ("every step".to_owned(), found));
    }
}

fn check_leftovers(run: &Run, findings: &mut Findings) -> Result<(), AnalysisError> {
    for path in run.orphans()? {
        let file = path.strip_prefix(run.dir()).unwrap_or(&path);
        findings.add(Kind::Orphan, (None, Some(file), None), || ("a listed part".to_owned(), "a file".to_owned()));
    }
    for file in run.superseded()? {
        let found = || ("no file".to_owned(), "a file set aside".to_owned());
        findings.add(Kind::Superseded, (None, Some(&file), None), found);
    }
    Ok(())
}

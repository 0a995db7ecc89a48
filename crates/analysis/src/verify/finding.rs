//! What a check finds, and its table.
//!
//! | column | meaning |
//! |---|---|
//! | `run` | the run's name |
//! | `file`, `table` | where; null if it is nowhere in particular |
//! | `step` | the first step that shows it, null if none does |
//! | `finding` | what is wrong, see [`Kind`] |
//! | `expected`, `found` | there, the first time |
//! | `times` | how often, in this file |
//! | `severity` | `error` or `warning` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use epsiloscope_format::{Run, Table};
use polars::prelude::*;

use crate::error::AnalysisError;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What the run holds is not what was written, or contradicts itself.
    Error,
    /// What it holds is sound; something is missing or lies about.
    Warning,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $meaning:literal,)*) => {
        /// What can be wrong with a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $(#[doc = $meaning] $kind,)*
        }

        impl Kind {
            /// Its name in tables.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity::$severity,)*
                }
            }
        }
    };
}

kinds! {
    Missing "missing" Error "A listed part is not there or cannot be opened.",
    Size "size" Error "A part is longer or shorter than listed.",
    Digest "digest" Error "A part's bytes have changed.",
    Footer "footer" Error "A part is no Parquet file that can be read.",
    Schema "schema" Error "A part lacks a column, or it is of another type.",
    Content "content" Error "A part's rows or names are not those of the list or manifest.",
    Duplicate "duplicate" Error "A part or a row is there twice.",
    Order "order" Error "Rows are not sorted.",
    ListedSteps "listed_steps" Error "A part's first or last step is not the listed one.",
    Range "range" Error "A value that cannot be.",
    Counts "counts" Error "Bins, zeros, NaN and infinities do not add up to the elements.",
    Numel "numel" Error "Elements of a tensor are too many or too few.",
    Elements "elements" Error "Recorded elements of a tensor are too many or too few.",
    Extremes "extremes" Error "The least or greatest magnitude contradicts the bins or the other.",
    SumOfSquares "sum_of_squares" Error "The sum of squares contradicts the extremes.",
    NoSummary "no_summary" Error "Magnitudes or bins without a row of `tensors`.",
    NoStep "no_step" Error "A step without a row of `steps`.",
    Totals "totals" Error "Rows or steps are not those that the manifest counts.",
    FileTotals "file_totals" Warning "Parts or bytes are not those that the manifest counts.",
    Gap "gap" Warning "Steps that were to be recorded are not there.",
    Dropped "dropped" Warning "Steps could not be kept while recording.",
    Orphan "orphan" Warning "A file that no list names.",
    Superseded "superseded" Warning "A file that a resumption or compaction has set aside.",
}

impl Severity {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong at one place, however often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table it concerns.
    pub table: Option<Table>,
    /// The file, relative to the run directory.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub kind: Kind,
    /// The first step that shows it.
    pub step: Option<i64>,
    /// What was expected there.
    pub expected: String,
    /// What was found instead.
    pub found: String,
    /// How often.
    pub times: u64,
}

/// Table, file and step of a finding.
pub(super) type Place<'a> = (Option<Table>, Option<&'a Path>, Option<i64>);

/// Findings so far: of every kind one per file, the first, and how many there were.
#[derive(Default)]
pub(super) struct Findings(BTreeMap<(Option<Table>, Option<PathBuf>, Kind), Finding>);

impl Findings {
    /// Adds one; `texts` says what was expected and found.
    pub(super) fn add(&mut self, kind: Kind, (table, file, step): Place<'_>, texts: impl FnOnce() -> (String, String)) {
        let file = file.map(Path::to_owned);
        let finding = self.0.entry((table, file.clone(), kind)).or_insert_with(|| {
            let (expected, found) = texts();
            Finding { table, file, kind, step, expected, found, times: 0 }
        });
        finding.times += 1;
    }

    pub(super) fn sorted(self) -> Vec<Finding> {
        self.0.into_values().collect()
    }
}

/// The findings of a run as a table, one row each.
///
/// # Errors
/// [`AnalysisError::Table`] if polars refuses the frame.
pub fn findings_table(run: &Run, findings: &[Finding]) -> Result<DataFrame, AnalysisError> {
    let texts = |text: fn(&Finding) -> &str| findings.iter().map(text).collect::<Vec<_>>();
    let file = |finding: &Finding| finding.file.as_ref().map(|file| file.display().to_string());
    let frame = df![
        "run" => vec![run.manifest().run.as_str(); findings.len()],
        "file" => findings.iter().map(file).collect::<Vec<_>>(),
        "table" => findings.iter().map(|finding| finding.table.map(Table::name)).collect::<Vec<_>>(),
        "step" => findings.iter().map(|finding| finding.step).collect::<Vec<_>>(),
        "finding" => texts(|finding| finding.kind.name()),
        "expected" => texts(|finding| &finding.expected),
        "found" => texts(|finding| &finding.found),
        "times" => findings.iter().map(|finding| finding.times as i64).collect::<Vec<_>>(),
        "severity" => texts(|finding| finding.kind.severity().name()),
    ];
    frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })
}

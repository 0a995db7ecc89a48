//! The parts of every table and rank side by side, in order of steps.

use std::collections::{BTreeSet, VecDeque};

use epsiloscope_format::{FormatError, PartEntry, Rows, Run, Table};

use super::finding::{Findings, Kind};
use super::rows::{Key, keys};

/// Where rows come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) rank: u32,
    pub(super) part: &'a PartEntry,
}

impl Source<'_> {
    /// Adds a finding about a step of this part.
    pub(super) fn report(
        self,
        findings: &mut Findings,
        kind: Kind,
        step: Option<i64>,
        texts: impl FnOnce() -> (String, String),
    ) {
        findings.add(kind, (Some(self.part.table), Some(&self.part.relative_path()), step), texts);
    }
}

/// Everything that is to be read.
pub(super) struct Streams<'a> {
    run: &'a Run,
    streams: Vec<Stream<'a>>,
}

/// A table of a rank.
struct Stream<'a> {
    rank: u32,
    parts: VecDeque<&'a PartEntry>,
    /// What has been read and not been given out, with its part.
    rows: VecDeque<(Source<'a>, Rows)>,
    last: Option<Key>,
}

impl<'a> Streams<'a> {
    /// A part that is listed twice, by name or by content, is read once.
    pub(super) fn of(run: &'a Run, findings: &mut Findings) -> Self {
        let mut streams = Vec::new();
        for table in Table::ALL {
            let mut seen = BTreeSet::new();
            for rank in 0..run.manifest().ranks.n_recording() {
                let mut parts = VecDeque::new();
                for (_, part) in run.ranked_parts(table).filter(|&(found, _)| found == rank as usize) {
                    let is_new = [seen.insert((rank, &part.file)), seen.insert((rank, &part.digest))];
                    if is_new == [true, true] {
                        parts.push_back(part);
                    } else {
                        let texts = || ("listed once".to_owned(), "listed again".to_owned());
                        Source { rank, part }.report(findings, Kind::Duplicate, Some(part.first_step), texts);
                    }
                }
                streams.push(Stream { rank, parts, rows: VecDeque::new(), last: None });
            }
        }
        Self { run, streams }
    }

    /// The next rows of the table that lies furthest behind, after checking their order, or a part that cannot be read.
    pub(super) fn next(&mut self, findings: &mut Findings) -> Option<Result<(Source<'a>, Rows), &'a PartEntry>> {
        loop {
            let behind = self.streams.iter_mut().filter(|stream| stream.first_step().is_some());
            let stream = behind.min_by_key(|stream| stream.first_step())?;
            if let Some((source, rows)) = stream.rows.pop_front() {
                stream.check_order(source, &rows, findings);
                return Some(Ok((source, rows)));
            }
            let part = stream.parts.pop_front()?;
            let source = Source { rank: stream.rank, part };
            match self.run.part_rows(source.rank, part) {
                Ok(rows) => {
                    check_listed_steps(source, &rows, findings);
                    stream.rows.extend(rows.into_iter().map(|rows| (source, rows)));
                }
                Err(fault) => {
                    report_fault(source, &fault, findings);
                    return Some(Err(part));
                }
            }
        }
    }

    /// No row of an earlier step is to come; `i64::MAX` if none is at all.
    pub(super) fn first_step_to_come(&self) -> i64 {
        self.streams.iter().filter_map(Stream::first_step).min().unwrap_or(i64::MAX)
    }
}

impl Stream<'_> {
    /// Of what is to come, if anything is.
    fn first_step(&self) -> Option<i64> {
        let waiting = self.rows.front().map(|(_, rows)| rows.steps().first().copied().unwrap_or(i64::MIN));
        waiting.or_else(|| self.parts.front().map(|part| part.first_step))
    }

    fn check_order(&mut self, source: Source<'_>, rows: &Rows, findings: &mut Findings) {
        for (row, key) in keys(rows).enumerate() {
            let step = Some(rows.steps()[row]);
            match self.last.map(|last| last.cmp(&key)) {
                // Scalars may have any names, in any order.
                Some(std::cmp::Ordering::Equal) if !matches!(rows, Rows::Scalars(_)) => {
                    let texts = || ("each row once".to_owned(), "the row before again".to_owned());
                    source.report(findings, Kind::Duplicate, step, texts);
                }
                Some(std::cmp::Ordering::Greater) => {
                    let texts = || ("ascending rows".to_owned(), "a row that belongs before the last".to_owned());
                    source.report(findings, Kind::Order, step, texts);
                }
                _ => {}
            }
            self.last = Some(key);
        }
    }
}

fn check_listed_steps(source: Source<'_>, rows: &[Rows], findings: &mut Findings) {
    let steps = || rows.iter().flat_map(Rows::steps).copied();
    let (Some(first), Some(last)) = (steps().min(), steps().max()) else { return };
    let listed = (source.part.first_step, source.part.last_step);
    if listed != (first, last) {
        let texts = |(first, last)| format!("steps {first} to {last}");
        source.report(findings, Kind::ListedSteps, Some(first), || (texts(listed), texts((first, last))));
    }
}

fn report_fault(source: Source<'_>, fault: &FormatError, findings: &mut Findings) {
    let (kind, expected, found) = match fault {
        FormatError::PartSize { found, expected, .. } => {
            (Kind::Size, format!("{expected} bytes"), format!("{found} bytes"))
        }
        FormatError::PartDigest { found, expected, .. } => (Kind::Digest, expected.clone(), found.clone()),
        FormatError::Parquet { source, .. } => (Kind::Footer, "a Parquet file".to_owned(), source.to_string()),
        FormatError::Refused { what, found, expected, .. } => {
            (Kind::Footer, expected.clone(), format!("{what} is {found}"))
        }
        FormatError::Column { column, expected, found, .. } => {
            (Kind::Schema, format!("column {column}: {expected}"), found.clone())
        }
        FormatError::Content { reason, .. } => (Kind::Content, "what is listed".to_owned(), reason.clone()),
        other => (Kind::Missing, "a file".to_owned(), other.to_string()),
    };
    source.report(findings, kind, Some(source.part.first_step), || (expected, found));
}

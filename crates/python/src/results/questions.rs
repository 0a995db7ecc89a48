//! The questions.

#![expect(clippy::needless_pass_by_value, reason = "what is made of Python's arguments is handed over")]

use std::path::PathBuf;

use epsiloscope_analysis::effect_tables::{candidate_table, narrowing_table};
use epsiloscope_analysis::estimate_tables::{SHORT_COLUMNS, estimate_table};
use epsiloscope_analysis::histogram_tables::histogram_table;
use epsiloscope_analysis::{Combination, Scope, candidates as candidates_of, estimate as estimates_of, histograms};
use epsiloscope_dataset::{DataSet, update_table};
use epsiloscope_figure::{Figure, Panel};
use epsiloscope_report::{
    Kind, Told, estimate_panels, figure, histogram_panels, stacked, told_candidates, told_rows, told_verdict,
};
use polars::prelude::{DataFrame, PolarsResult};
use pyo3::prelude::*;

use super::ask::ask;
use super::fault::Fault;
use super::request::{self, View, read};
use super::table::{MAX_TOLD, Results};

/// Runs and panels that are drawn.
const MAX_DRAWN: usize = 12;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(estimate, module)?)?;
    module.add_function(wrap_pyfunction!(histogram, module)?)?;
    module.add_function(wrap_pyfunction!(candidates, module)?)?;
    module.add_function(wrap_pyfunction!(analyze, module)?)
}

#[pyfunction]
fn estimate(py: Python<'_>, runs: Vec<PathBuf>, request: &str) -> PyResult<Results> {
    let options = read::<request::Estimate>(request)?.options()?;
    let scope = options.scopes.first().copied().unwrap_or(Scope::Run);
    let is_verdict = options.scopes == [Scope::Run] && options.combinations == [Combination::Extremes];
    let answered = ask(py, &runs, |run| {
        let estimates = estimates_of(run, &options)?;
        Ok((estimate_panels(run, &estimates, scope)?, estimates))
    })?;
    let (panels, estimates): (Vec<_>, Vec<_>) = answered.answers.into_iter().unzip();
    let estimates = estimates.concat();
    let frame = estimate_table(&estimates).map_err(Fault::from)?;
    let figure = drawn(panels);
    if is_verdict {
        let n_told = estimates.len().min(MAX_TOLD);
        return Ok(Results::new(frame, told_verdict(&estimates[..n_told]), estimates.len() - n_told, figure));
    }
    let short = frame.select(SHORT_COLUMNS).map_err(Fault::from)?;
    Ok(of_rows(frame, &short, figure))
}

#[pyfunction]
fn histogram(py: Python<'_>, runs: Vec<PathBuf>, request: &str) -> PyResult<Results> {
    let options = read::<request::Histogram>(request)?.options()?;
    let answered = ask(py, &runs, |run| {
        let counted = histograms(run, &options)?;
        Ok((histogram_panels(run, &counted, options.window)?, histogram_table(&counted)?))
    })?;
    let (panels, frames): (Vec<_>, Vec<_>) = answered.answers.into_iter().unzip();
    let frame = below_each_other(frames)?;
    let head = frame.head(Some(MAX_TOLD));
    Ok(of_rows(frame, &head, drawn(panels)))
}

#[pyfunction]
fn candidates(py: Python<'_>, runs: Vec<PathBuf>, request: &str) -> PyResult<Results> {
    let request = read::<request::Candidates>(request)?;
    let (options, view) = (request.options()?, request.view()?);
    let found = ask(py, &runs, |run| Ok(candidates_of(run, &options)?))?.answers.concat();
    let nothing = Figure { panels: Vec::new() };
    if view == View::Narrowing {
        let frame = narrowing_table(&found).map_err(Fault::from)?;
        let all = frame.clone();
        return Ok(of_rows(frame, &all, nothing));
    }
    let frame = candidate_table(&found).map_err(Fault::from)?;
    let n_told = n_within(found.iter().map(|of| of.effects.len()), MAX_TOLD);
    let n_untold = found[n_told..].iter().map(|of| of.effects.len()).sum();
    Ok(Results::new(frame, told_candidates(&found[..n_told]), n_untold, nothing))
}

#[pyfunction]
fn analyze(py: Python<'_>, runs: Vec<PathBuf>, out: PathBuf, request: &str) -> PyResult<Results> {
    let options = read::<request::Analysis>(request)?.options()?;
    let data_set = DataSet::open(&out).map_err(Fault::from)?;
    let answered = ask(py, &runs, |run| Ok((run.manifest().run.clone(), data_set.update(run, &options)?)))?;
    let names: Vec<String> = answered.answers.iter().map(|(name, _)| name.clone()).collect();
    py.detach(|| data_set.compare(&names, &answered.faults, &options)).map_err(Fault::from)?;
    let frame = update_table(&answered.answers).map_err(Fault::from)?;
    let all = frame.clone();
    Ok(of_rows(frame, &all, Figure { panels: Vec::new() }))
}

/// Told by the first rows of some columns.
fn of_rows(frame: DataFrame, columns: &DataFrame, figure: Figure) -> Results {
    let told: Told = told_rows(&columns.head(Some(MAX_TOLD)));
    let n_untold = frame.height().saturating_sub(MAX_TOLD);
    Results::new(frame, told, n_untold, figure)
}

fn below_each_other(frames: Vec<DataFrame>) -> PyResult<DataFrame> {
    let stacked: PolarsResult<Option<DataFrame>> = stacked(frames.into_iter().map(Ok));
    Ok(stacked.map_err(Fault::from)?.unwrap_or_default())
}

/// The first panels of the first runs: what a notebook has room for.
fn drawn(mut of_runs: Vec<Vec<(Kind, Panel)>>) -> Figure {
    of_runs.truncate(MAX_DRAWN);
    let mut figure = figure(of_runs, &Kind::ALL);
    figure.panels.truncate(MAX_DRAWN);
    figure
}

/// How many of the first items have at most so many rows together; one at least.
fn n_within(n_rows: impl Iterator<Item = usize>, most: usize) -> usize {
    let sums = n_rows.scan(0, |sum, n| {
        *sum += n;
        Some(*sum)
    });
    sums.enumerate().take_while(|&(index, sum)| index == 0 || sum <= most).count()
}

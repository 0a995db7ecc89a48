//! Everything that is computed of one run.

use epsiloscope_analysis::effect_tables::candidate_table;
use epsiloscope_analysis::effects::estimates_and_candidates;
use epsiloscope_analysis::estimate_tables::estimate_table;
use epsiloscope_analysis::histogram_tables::histogram_table;
use epsiloscope_analysis::inspect::tensor_table;
use epsiloscope_analysis::runs::run_row;
use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_analysis::{
    AnalysisError, At, CandidateOptions, Candidates, Combination, Estimate, EstimateOptions, HistogramOptions, Scope,
    Window, histograms,
};
use epsiloscope_format::Run;
use polars::prelude::*;

use crate::error::DataSetError;

/// What to compute of each run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds of ε, and what values of ε do.
    pub candidates: CandidateOptions,
    /// Histograms.
    pub histograms: HistogramOptions,
}

impl Default for Options {
    /// Bounds of every scope and combination after each epoch, histograms of each tensor and epoch. A run without epochs is
    /// looked at as a whole, after its last step.
    fn default() -> Self {
        let estimate = EstimateOptions {
            at: At::Epoch,
            scopes: Scope::ALL.to_vec(),
            combinations: Combination::ALL.to_vec(),
            ..EstimateOptions::default()
        };
        Self {
            candidates: CandidateOptions { estimate, ..CandidateOptions::default() },
            histograms: HistogramOptions { window: Window::Epoch, ..HistogramOptions::default() },
        }
    }
}

impl Options {
    /// Every scope and combination of what an estimate is asked for, and histograms of every window.
    pub fn new(estimate: EstimateOptions, window: Window) -> Self {
        let mut options = Self::default();
        let EstimateOptions { scopes, combinations, .. } = options.candidates.estimate;
        options.candidates.estimate = EstimateOptions { scopes, combinations, ..estimate };
        options.histograms.window = window;
        options
    }

    /// The same without looking at epochs.
    fn without_epochs(&self) -> Self {
        let mut options = self.clone();
        if options.candidates.estimate.at == At::Epoch {
            options.candidates.estimate.at = At::Last;
        }
        if options.histograms.window == Window::Epoch {
            options.histograms.window = Window::Run;
        }
        options
    }
}

/// Estimates and candidates; of a run of which nothing is known after its epochs, as one that was interrupted, those after
/// the last step of which something is.
fn bounds(run: &Run, options: &Options) -> Result<(Vec<Estimate>, Vec<Candidates>), AnalysisError> {
    match estimates_and_candidates(run, &options.candidates) {
        Err(AnalysisError::NotRecorded { .. }) if options.candidates.estimate.at == At::Epoch => {
            estimates_and_candidates(run, &options.without_epochs().candidates)
        }
        found => found,
    }
}

/// A run's tables. Of what was not recorded there is none, and `runs` says why.
pub(crate) fn results(run: &Run, options: &Options) -> Result<Vec<(ResultTable, DataFrame)>, DataSetError> {
    let row = run_row(run)?;
    let has_epochs = row.column("last_epoch").is_ok_and(|epoch| epoch.null_count() == 0);
    let options = if has_epochs { options.clone() } else { options.without_epochs() };
    let mut tables = Vec::new();
    let mut lacks = Vec::new();
    let mut take = |found: Result<Vec<(ResultTable, PolarsResult<DataFrame>)>, AnalysisError>| match found {
        Ok(found) => {
            for (table, frame) in found {
                let frame = frame.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })?;
                tables.push((table, frame));
            }
            Ok(())
        }
        Err(AnalysisError::NotRecorded { reason, .. }) => {
            lacks.push(reason);
            Ok(())
        }
        Err(fault) => Err(fault),
    };
    take(tensor_table(run).map(|frame| vec![(ResultTable::Tensors, Ok(frame))]))?;
    take(histograms(run, &options.histograms).map(|found| vec![(ResultTable::Histograms, histogram_table(&found))]))?;
    take(bounds(run, &options).map(|(estimates, candidates)| {
        vec![
            (ResultTable::Estimates, estimate_table(&estimates)),
            (ResultTable::Candidates, candidate_table(&candidates)),
        ]
    }))?;
    let lacks = if lacks.is_empty() { None } else { Some(lacks.join("; ")) };
    let row = row.hstack(&[Column::new("lacks".into(), [lacks])]);
    tables.push((ResultTable::Runs, row.map_err(|source| AnalysisError::Table { run: run.dir().to_owned(), source })?));
    Ok(tables)
}

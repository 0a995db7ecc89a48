//! One run, as the page has it.

use epsiloscope_analysis::grouping::{Group, Grouping, Scope};
use epsiloscope_analysis::{AnalysisError, CandidateOptions, Combination, EstimateOptions, Window};
use epsiloscope_format::{MagnitudePolicy, Run};
use serde::Serialize;

use crate::budget::Budget;
use crate::magnitudes::{Quantity, quantities};
use crate::respond::{Answer, answers};

/// What to show of each run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose ε, after which steps, at which learning rate.
    pub candidates: CandidateOptions,
    /// The steps that a histogram is over; `None` for as many windows as the budget has.
    pub window: Option<Window>,
    /// How much the page may carry.
    pub budget: Budget,
}

/// What the page carries of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunPage {
    pub(crate) name: String,
    mode: &'static str,
    finished: bool,
    optimizer: String,
    epsilon: Option<f64>,
    learning_rate: Option<f64>,
    last_step: i64,
    /// Steps between two recorded ones.
    cadence: u64,
    /// Whether histograms are of a sample of the elements.
    is_sample: bool,
    tensors: Vec<Tensor>,
    layers: Vec<Option<String>>,
    kinds: Vec<Option<String>>,
    quantities: Vec<Quantity>,
    pub(crate) answers: Vec<Answer>,
    /// What could not be answered, and why.
    missing: Vec<String>,
}

/// A parameter tensor; layer and kind are places in the lists of the run.
#[derive(Clone, Debug, Serialize)]
struct Tensor {
    name: String,
    numel: u64,
    layer: usize,
    kind: usize,
}

impl RunPage {
    /// Of one of `n_runs` runs that share a page and its budget.
    ///
    /// # Errors
    /// [`AnalysisError::NotRecorded`] if the run has neither histograms or magnitudes nor critical ε; what reading brings.
    pub fn of(run: &Run, options: &Options, n_runs: usize) -> Result<Self, AnalysisError> {
        let manifest = run.manifest();
        let mut missing = Vec::new();
        let quantities = match quantities(run, options.window, options.budget.shared_by(n_runs)) {
            Err(AnalysisError::NotRecorded { reason, .. }) => {
                missing.push(reason);
                Vec::new()
            }
            other => other?,
        };
        let (answers, reasons) = answers(run, &with_every_scope(&options.candidates))?;
        missing.extend(reasons);
        if quantities.is_empty() && answers.is_empty() {
            return Err(AnalysisError::NotRecorded { run: run.dir().to_owned(), reason: missing.join("; ") });
        }
        let grouping = Grouping::of(&manifest.tensors);
        Ok(Self {
            name: manifest.run.clone(),
            mode: manifest.mode.name(),
            finished: run.is_finished(),
            optimizer: manifest.optimizer.name.clone(),
            epsilon: manifest.optimizer.epsilon,
            learning_rate: manifest.optimizer.learning_rate,
            last_step: run.last_step(),
            cadence: manifest.cadence.every,
            is_sample: !manifest.histograms && manifest.magnitudes != MagnitudePolicy::All,
            tensors: tensors(run, &grouping),
            layers: names(grouping.groups(Scope::Layer)),
            kinds: names(grouping.groups(Scope::Kind)),
            quantities,
            answers,
            missing,
        })
    }
}

/// Bounds of every scope by the paper's combination; nothing here rests on resamples.
fn with_every_scope(options: &CandidateOptions) -> CandidateOptions {
    let estimate = EstimateOptions {
        scopes: Scope::ALL.to_vec(),
        combinations: vec![Combination::Extremes],
        bootstrap: 0,
        ..options.estimate.clone()
    };
    CandidateOptions { estimate, combination: Combination::Extremes, ..options.clone() }
}

fn tensors(run: &Run, grouping: &Grouping) -> Vec<Tensor> {
    let (layers, kinds) = (grouping.group_of_tensors(Scope::Layer), grouping.group_of_tensors(Scope::Kind));
    let infos = run.manifest().tensors.iter().zip(layers.into_iter().zip(kinds));
    infos.map(|(info, (layer, kind))| Tensor { name: info.name.clone(), numel: info.numel(), layer, kind }).collect()
}

fn names(groups: &[Group]) -> Vec<Option<String>> {
    groups.iter().map(|group| group.name.clone()).collect()
}

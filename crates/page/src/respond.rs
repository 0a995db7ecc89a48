//! What ε does to a run: what the slider and the table of tensors show.

use epsiloscope_analysis::denominator::Form;
use epsiloscope_analysis::response::{CriticalCounts, ResponsePart};
use epsiloscope_analysis::{AnalysisError, CandidateOptions, CombinedBound, Response, SearchSpace, responses};
use epsiloscope_format::Run;
use epsiloscope_report::{verdict_notes, verdict_sentence};
use serde::Serialize;

use crate::magnitudes::counts;

/// One optimizer after one step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) optimizer: &'static str,
    /// The quantity whose magnitudes are its critical ε.
    quantity: String,
    pub(crate) step: i64,
    pub(crate) verdict: String,
    notes: Vec<String>,
    /// Exponents of the search space.
    search: (i32, i32),
    trial: (f64, f64),
    default_epsilon: f64,
    /// The run's, if it was trained with this optimizer.
    own_epsilon: Option<f64>,
    reference_epsilon: f64,
    learning_rate: Option<f64>,
    percentile: f64,
    confidence: f64,
    /// Whether ε is the square of what critical ε are counted by.
    is_inside_root: bool,
    denominator: Denominator,
    taken: f64,
    parts: Vec<Part>,
    /// Tensor by tensor, in the manifest's order.
    tensors: Vec<Option<Critical>>,
    sampled: Option<Sampled>,
}

/// See [`epsiloscope_analysis::denominator`].
#[derive(Clone, Debug, Serialize)]
struct Denominator {
    share: Option<f64>,
    again: bool,
    factor: Option<f64>,
}

/// A tensor, a layer, a kind or the run.
#[derive(Clone, Debug, Serialize)]
struct Part {
    scope: &'static str,
    name: Option<String>,
    /// Quantiles 1−p, half and p of critical ε.
    critical: (f64, f64, f64),
    lower: Bound,
    upper: Bound,
    search: (i32, i32),
    /// Whether one of its tensors sets the run's bound.
    sets_lower: bool,
    sets_upper: bool,
    numel: u64,
    sample_size: u64,
    zeros: u64,
    non_finite: u64,
    method: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Bound {
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    tensor: String,
}

/// Critical ε of a tensor by bin.
#[derive(Clone, Debug, Serialize)]
struct Critical {
    weight: f64,
    method: &'static str,
    counts: Vec<i64>,
}

/// Where the run's share below each edge lies, from the first edge on.
#[derive(Clone, Debug, Serialize)]
struct Sampled {
    first: i32,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// Answers for each optimizer that the run can be asked about, and why not for others.
pub(crate) fn answers(run: &Run, options: &CandidateOptions) -> Result<(Vec<Answer>, Vec<String>), AnalysisError> {
    let all = responses(run, options);
    if !matches!(all, Err(AnalysisError::NotRecorded { .. })) {
        return Ok((all?.iter().map(answer).collect(), Vec::new()));
    }
    let (mut answers, mut reasons) = (Vec::new(), Vec::new());
    for &optimizer in &options.estimate.optimizers {
        let mut options = options.clone();
        options.estimate.optimizers = vec![optimizer];
        match responses(run, &options) {
            Ok(found) => answers.extend(found.iter().map(answer)),
            Err(AnalysisError::NotRecorded { reason, .. }) => reasons.push(format!("{optimizer}: {reason}")),
            Err(fault) => return Err(fault),
        }
    }
    Ok((answers, reasons))
}

fn answer(response: &Response) -> Answer {
    let (estimate, candidates) = (&response.estimate, &response.candidates);
    let reference = candidates.effects.first();
    Answer {
        optimizer: estimate.optimizer.name(),
        quantity: estimate.optimizer.optimizer().quantity(),
        step: estimate.step,
        verdict: verdict_sentence(estimate),
        notes: verdict_notes(estimate),
        search: candidates.search,
        trial: candidates.trial,
        default_epsilon: estimate.optimizer.default_epsilon(),
        own_epsilon: estimate.own.map(|own| own.epsilon),
        reference_epsilon: reference.map_or(estimate.optimizer.default_epsilon(), |effect| effect.epsilon),
        learning_rate: candidates.learning_rate,
        percentile: estimate.percentile,
        confidence: estimate.confidence,
        is_inside_root: estimate.optimizer.is_inside_root(),
        denominator: denominator(response),
        taken: response.taken,
        parts: estimate.spaces.iter().filter_map(|space| part(response, space)).collect(),
        tensors: response.tensors.iter().map(|counts| counts.as_ref().map(critical)).collect(),
        sampled: sampled(response),
    }
}

fn denominator(response: &Response) -> Denominator {
    let (share, again) = match response.denominator.form {
        Form::Beside => (None, false),
        Form::Inside { share, again } => (Some(share), again),
    };
    Denominator { share, again, factor: response.denominator.factor }
}

/// `None` if nothing is known of its elements, which does not happen to what sets bounds.
fn part(response: &Response, space: &SearchSpace) -> Option<Part> {
    let is_same = |part: &&ResponsePart| part.scope == space.scope && part.name == space.name;
    let critical = response.parts.iter().find(is_same)?.critical;
    let estimate = &response.estimate;
    Some(Part {
        scope: space.scope.name(),
        name: space.name.clone(),
        critical: (critical.low, critical.median, critical.high),
        lower: bound(&space.lower),
        upper: bound(&space.upper),
        search: space.exponents(),
        sets_lower: space.sets(&estimate.lower),
        sets_upper: space.sets(&estimate.upper),
        numel: space.numel,
        sample_size: space.sample_size,
        zeros: space.zeros,
        non_finite: space.non_finite,
        method: space.method.name(),
    })
}

fn bound(of: &CombinedBound) -> Bound {
    Bound { value: of.bound.value, low: of.bound.low, high: of.bound.high, tensor: of.tensor.clone() }
}

fn critical(of: &CriticalCounts) -> Critical {
    Critical { weight: of.weight, method: of.method.name(), counts: counts(&of.histogram) }
}

fn sampled(response: &Response) -> Option<Sampled> {
    let shares = &response.sampled_shares;
    Some(Sampled {
        first: shares.first()?.0,
        low: shares.iter().map(|(_, share)| share.low).collect(),
        high: shares.iter().map(|(_, share)| share.high).collect(),
    })
}

//! Estimates in words: what to search, what sets the bounds, what the run's own ε does.

use std::io::{self, Write};

use epsiloscope_analysis::estimate::nearest_power;
use epsiloscope_analysis::{Bound, Estimate, LeftOut, Method, OwnEpsilon, Regime};
use epsiloscope_figure::grouped;
use epsiloscope_format::Mode;

use crate::escape::shown;
use crate::number::{magnitude, percent, power};
use crate::told::{Side, Told};

/// Writes the search spaces of one or several runs for people to read; of several steps, notes to the last.
///
/// # Errors
/// What writing brings.
pub fn write_verdict(estimates: &[Estimate], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", told_verdict(estimates))
}

/// The search spaces of one or several runs as people read them; of several steps, notes to the last.
pub fn told_verdict(estimates: &[Estimate]) -> Told {
    let last: Vec<&Estimate> =
        estimates.chunk_by(is_same_but_for_step).filter_map(|of_steps| of_steps.last()).collect();
    let notes = bases(&last).into_iter().chain(last.iter().flat_map(|estimate| notes(estimate)));
    search_spaces(estimates).with_notes(notes.collect())
}

/// The search space in one sentence, with what sets it and what the run's own ε does.
pub fn verdict_sentence(estimate: &Estimate) -> String {
    let (lower, upper) = estimate.exponents();
    let decades = if estimate.decades() == 1 { "decade" } else { "decades" };
    let own = estimate
        .own
        .map_or_else(|| format!("its default is {}.", magnitude(estimate.optimizer.default_epsilon())), own_epsilon);
    format!(
        "search ε of {} in [{}, {}], {} {decades}, as {} and {} set it; {own}",
        estimate.optimizer,
        power(lower),
        power(upper),
        estimate.decades(),
        shown(&estimate.lower.tensor),
        shown(&estimate.upper.tensor),
    )
}

/// What to know beside [`verdict_sentence`]: what it rests on, what alone sets a bound, what is left out.
pub fn verdict_notes(estimate: &Estimate) -> Vec<String> {
    let mut notes = vec![basis(estimate)];
    notes.extend(bound_notes(estimate));
    notes.extend(left_out_notes(estimate));
    notes
}

fn is_same_but_for_step(one: &Estimate, next: &Estimate) -> bool {
    one.run == next.run && one.optimizer == next.optimizer
}

const HEADER: [(&str, Side); 9] = [
    ("run", Side::Left),
    ("optimizer", Side::Left),
    ("search ε in", Side::Left),
    ("decades", Side::Right),
    ("lower bound", Side::Left),
    ("set by", Side::Left),
    ("upper bound", Side::Left),
    ("set by", Side::Left),
    ("default ε", Side::Left),
];

fn search_spaces(estimates: &[Estimate]) -> Told {
    let has_steps = estimates.windows(2).any(|pair| is_same_but_for_step(&pair[0], &pair[1]));
    let mut told = Told::new(HEADER.into_iter().chain(has_steps.then_some(("after step", Side::Right))));
    for estimate in estimates {
        let (lower, upper) = estimate.exponents();
        let row = [
            shown(&estimate.run),
            estimate.optimizer.name().to_owned(),
            format!("[{}, {}]", power(lower), power(upper)),
            estimate.decades().to_string(),
            with_error(&estimate.lower.bound),
            shown(&estimate.lower.tensor),
            with_error(&estimate.upper.bound),
            shown(&estimate.upper.tensor),
            magnitude(estimate.optimizer.default_epsilon()),
        ];
        told.add_row(row.into_iter().chain(has_steps.then(|| estimate.step.to_string())));
    }
    told
}

/// `1.2e-5` if exact, `1.2e-5 ±3 %` from one bin, `1.2e-5 (9.1e-6…1.5e-5)` from a sample.
fn with_error(bound: &Bound) -> String {
    let value = magnitude(bound.value);
    match (bound.low, bound.high) {
        (Some(low), Some(high)) if high <= low => value,
        // One bin is a factor of 10^(1/40) wide, half a bin 10^(1/80) = 1.029.
        (Some(low), Some(high)) if high < low * 1.0593 => format!("{value} ±3 %"),
        (low, high) => {
            let end = |end: Option<f64>| end.map_or("?".to_owned(), magnitude);
            format!("{value} ({}…{})", end(low), end(high))
        }
    }
}

fn notes(estimate: &Estimate) -> Vec<String> {
    let mut notes = bound_notes(estimate);
    notes.extend(estimate.own.map(own_epsilon));
    notes.extend(left_out_notes(estimate));
    notes.iter().map(|note| format!("{}, {}: {note}", shown(&estimate.run), estimate.optimizer)).collect()
}

/// What to beware of in the bounds.
fn bound_notes(estimate: &Estimate) -> Vec<String> {
    let mut notes = Vec::new();
    for (side, bound) in [("lower", &estimate.lower), ("upper", &estimate.upper)] {
        if let Some(without) =
            bound.without.filter(|&without| nearest_power(without) != nearest_power(bound.bound.value))
        {
            let tensor = shown(&bound.tensor);
            notes.push(format!("{tensor} alone sets the {side} bound; without it {}.", magnitude(without)));
        }
    }
    if [&estimate.lower, &estimate.upper].iter().any(|bound| bound.method == Method::Gradient) {
        notes.push(of_gradients(&estimate.upper.bound));
    }
    if estimate.rounding_noise.contains(&estimate.lower.tensor) {
        notes.push(rounding_noise(&estimate.rounding_noise));
    }
    if estimate.mode == Mode::Calibration && estimate.coupled_weight_decay > 0.0 {
        let (tensor, w) = (shown(&estimate.lower.tensor), magnitude(estimate.coupled_weight_decay));
        notes.push(format!("with frozen weights, L2 of w = {w} keeps {tensor}'s lower bound above w·|p|."));
    }
    notes
}

fn left_out_notes(estimate: &Estimate) -> Vec<String> {
    let note = |of: &LeftOut| format!("{} is left out: {}.", shown(&of.tensor), of.reason);
    estimate.left_out.iter().map(note).collect()
}

/// The sentence about bounds that histograms of gradients alone gave.
fn of_gradients(upper: &Bound) -> String {
    let error = match (upper.low, upper.high) {
        (None, None) => {
            "whether every optimizer step is there is not known, and then nothing certain follows (docs/import.md)"
        }
        _ => "the range beside each holds whatever the elements did",
    };
    format!(
        "histograms of gradients do not say which element had which, so bounds are those of elements that keep their ranks at \
         every step: the upper one comes close, the lower one lies too low, by a decade or two; {error}."
    )
}

/// The sentence about biases that have no gradient but rounding.
fn rounding_noise(tensors: &[String]) -> String {
    let named: Vec<String> = tensors.iter().take(3).map(|tensor| shown(tensor)).collect();
    let others =
        if tensors.len() > named.len() { format!(" and {} more", tensors.len() - named.len()) } else { String::new() };
    let (look, their) = if tensors.len() == 1 { ("looks", "its") } else { ("look", "their") };
    format!(
        "{}{others} {look} like rounding noise, decades below every other tensor, and {their} lower bound means nothing: \
         a bias in front of a normalisation layer has no gradient, nor has that of an attention's keys \
         (--combination robust leaves outliers out).",
        named.join(", ")
    )
}

/// What the bounds rest on, a sentence for all optimizers of a run for which it is the same.
fn bases(estimates: &[&Estimate]) -> Vec<String> {
    let mut bases: Vec<(&str, String, Vec<&str>)> = Vec::new();
    for estimate in estimates {
        let (run, rest) = (estimate.run.as_str(), basis(estimate));
        match bases.iter_mut().find(|(of, said, _)| *of == run && *said == rest) {
            Some((_, _, optimizers)) => optimizers.push(estimate.optimizer.name()),
            None => bases.push((run, rest, vec![estimate.optimizer.name()])),
        }
    }
    let sentence = |(run, rest, optimizers): (&str, String, Vec<&str>)| {
        format!("{}, {}: {rest}", shown(run), optimizers.join(", "))
    };
    bases.into_iter().map(sentence).collect()
}

/// How many elements, at which step, known how.
fn basis(estimate: &Estimate) -> String {
    let known = |method: Method| estimate.tensors.iter().filter(move |tensor| tensor.method == method);
    let part = |(method, how): (Method, &str)| {
        let elements: u64 = known(method).map(|tensor| tensor.sample_size).sum();
        let tensors = known(method).count();
        let noun = if tensors == 1 { "tensor" } else { "tensors" };
        (tensors > 0).then(|| format!("{} {how} in {tensors} {noun}", grouped(elements as i64)))
    };
    let hows = [(Method::Exact, "exact"), (Method::Bins, "in bins"), (Method::Sample, "as a sample")]
        .into_iter()
        .chain([(Method::Gradient, "by histograms of gradients")]);
    let parts: Vec<String> = hows.filter_map(part).collect();
    let unfinished = if estimate.finished {
        String::new()
    } else {
        format!("; not finished, recorded up to step {}", estimate.last_step)
    };
    let restarted = estimate.restarted_after.map_or(String::new(), |step| {
        format!("; recording was resumed after step {step} without its moments, which began again from zero there")
    });
    format!("non-zero elements after step {}: {}{unfinished}{restarted}.", estimate.step, parts.join(", "))
}

fn own_epsilon(own: OwnEpsilon) -> String {
    let (epsilon, share) = (magnitude(own.epsilon), percent(own.share_below));
    match Regime::of(own.share_below) {
        Regime::NoEffect if own.share_below <= 0.0 && own.complete => {
            format!("the run's ε of {epsilon} lies below every critical ε: it has no effect.")
        }
        Regime::NoEffect if own.share_below <= 0.0 => {
            format!("the run's ε of {epsilon} lies below every sampled critical ε: it has hardly any effect.")
        }
        Regime::NoEffect => {
            format!("the run's ε of {epsilon} outweighs the gradient in {share} of the elements: hardly any effect.")
        }
        Regime::Mixed => format!("the run's ε of {epsilon} outweighs the gradient in {share} of the elements."),
        Regime::SgdLike => {
            format!("the run's ε of {epsilon} outweighs nearly every gradient ({share}): the steps are SGD's.")
        }
    }
}

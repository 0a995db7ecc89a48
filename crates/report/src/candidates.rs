//! Candidates for ε as people read them: what each does, and which learning rate to try with it.

use std::io::{self, Write};

use epsiloscope_analysis::effects::{Effect, Role};
use epsiloscope_analysis::{Candidates, Combination};

use crate::escape::shown;
use crate::number::{magnitude, percent, power};
use crate::told::{Side, Told};

const HEADER: [(&str, Side); 12] = [
    ("run", Side::Left),
    ("optimizer", Side::Left),
    ("step", Side::Right),
    ("of", Side::Left),
    ("ε", Side::Right),
    ("outweighs", Side::Right),
    ("regime", Side::Left),
    ("lr to try", Side::Right),
    ("rate, low", Side::Right),
    ("median", Side::Right),
    ("high", Side::Right),
    ("SGD's rate", Side::Right),
];

/// Writes what each candidate does, then how much is spared and what the numbers refer to.
///
/// # Errors
/// What writing brings.
pub fn write_candidates(candidates: &[Candidates], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", told_candidates(candidates))
}

/// What each candidate does, how much is spared and what the numbers refer to.
pub fn told_candidates(candidates: &[Candidates]) -> Told {
    let mut told = Told::new(HEADER);
    for of in candidates {
        for effect in &of.effects {
            told.add_row(row(of, effect));
        }
    }
    // Of several steps, the last speaks.
    let is_last = |index: usize, of: &Candidates| {
        candidates.get(index + 1).is_none_or(|next| (&next.run, next.optimizer) != (&of.run, of.optimizer))
    };
    let last = candidates.iter().enumerate().filter(|&(index, of)| is_last(index, of));
    let note = |of: &Candidates| format!("{}, {}: {} {}", shown(&of.run), of.optimizer, spared(of), reference(of));
    told.with_notes(last.map(|(_, of)| note(of)).collect())
}

fn row(of: &Candidates, effect: &Effect) -> [String; 12] {
    let mark = if matches!(effect.role, Role::Own | Role::Default) { effect.role.name() } else { "" };
    [
        shown(&of.run),
        of.optimizer.name().to_owned(),
        of.step.to_string(),
        effect.name.as_deref().map_or_else(|| "all".to_owned(), shown),
        [mark, &magnitude(effect.epsilon)].join(" ").trim().to_owned(),
        percent(effect.share_below.value),
        effect.regime.name().to_owned(),
        known(effect.matched_learning_rate),
        known(effect.rates.map(|rates| rates.low)),
        known(effect.rates.map(|rates| rates.median)),
        known(effect.rates.map(|rates| rates.high)),
        known(effect.sgd_rate),
    ]
}

fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), magnitude)
}

fn spared(of: &Candidates) -> String {
    let (search, trial) = ((power(of.search.0), power(of.search.1)), (magnitude(of.trial.0), magnitude(of.trial.1)));
    let by = if of.combination == Combination::Extremes { String::new() } else { format!(", {}", of.combination) };
    let widths = format!(
        "search {} to {}{by}, {:.0} decades; trial and error {} to {}, {:.0} decades",
        search.0,
        search.1,
        of.search_decades(),
        trial.0,
        trial.1,
        of.trial_decades()
    );
    match of.narrowing() {
        Some(narrowing) => format!("{widths}: {narrowing:.1} times narrower."),
        None => format!("{widths}."),
    }
}

fn reference(of: &Candidates) -> String {
    let Some(lr) = of.learning_rate.map(magnitude) else {
        return "Its learning rate is not known: with --lr rates and the lr to try are.".to_owned();
    };
    let Some(reference) = of.effects.first() else { return format!("Rates are at lr {lr}.") };
    let (role, epsilon) = (reference.role.name(), magnitude(reference.epsilon));
    format!(
        "Rates are at lr {lr}; the lr to try moves the median element as fast as {lr} does at the {role} ε of {epsilon}."
    )
}

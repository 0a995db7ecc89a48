//! What a search has found, for people.

use std::io::Write;

use epsiloscope_report::{Format, write_frame};
use epsiloscope_search::{Ended, Parameter, Point, Search, Strategy, Summary};
use polars::prelude::DataFrame;

use crate::search::plan::Plan;

/// Rows for people; other formats have all.
const MAX_ROWS: usize = 20;

pub(super) fn write(
    table: &DataFrame,
    plan: &Plan,
    search: &Search,
    summary: &Summary,
    ended: Ended,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    write_frame(&table.head(Some(MAX_ROWS)), Format::Table, out)?;
    if MAX_ROWS < table.height() {
        writeln!(out, "and {} more points: --format csv, json or parquet has all", table.height() - MAX_ROWS)?;
    }
    writeln!(out)?;
    let best = summary.best().map(|index| &search.points()[index]);
    let notes = [
        Some(best.map_or_else(|| "no point has a value.".to_owned(), |best| best_sentence(search, best))),
        best.map(|_| noise_sentence(search, summary)),
        Some(counts_sentence(summary)),
        generations_sentence(search, summary, ended),
        spared_sentence(plan, search, summary),
    ];
    for note in notes.into_iter().flatten() {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

/// Five digits at most.
pub(super) fn short(value: f64) -> String {
    let without_zeros = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }.to_owned()
    };
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        let digits = (4 - value.abs().max(1e-3).log10().floor() as i32).clamp(0, 8) as usize;
        return without_zeros(&format!("{value:.digits$}"));
    }
    let text = format!("{value:.4e}");
    text.split_once('e').map_or(text.clone(), |(mantissa, exponent)| format!("{}e{exponent}", without_zeros(mantissa)))
}

fn best_sentence(search: &Search, best: &Point) -> String {
    let pair = |(parameter, value)| format!("{} {}", Parameter::name(parameter), parameter.text(value));
    let values: Vec<String> = search.settings().parameters.iter().zip(&best.values).map(pair).collect();
    let value = best.value().map(short).unwrap_or_default();
    let spread = best
        .spread()
        .map(|spread| format!(", the mean of {} seeds with standard deviation {}", best.trials.len(), short(spread)));
    format!("best: {}: {value}{}.", values.join(", "), spread.unwrap_or_default())
}

fn noise_sentence(search: &Search, summary: &Summary) -> String {
    if search.settings().n_seeds < 2 {
        return "one seed per point: what lies within noise of the best is not known; --seeds 3 tells.".to_owned();
    }
    let n = summary.within_noise.iter().skip(1).filter(|within| **within == Some(true)).count();
    let range = |(parameter, good): (&Parameter, &Option<(f64, f64)>)| {
        good.map(|(low, high)| format!("{} {} to {}", parameter.name(), short(low), short(high)))
    };
    let ranges: Vec<String> = search.settings().parameters.iter().zip(&summary.good).filter_map(range).collect();
    let of = format!("{n} of {} other points", summary.ranking.len().saturating_sub(1));
    format!("within noise of it: {of}; with it {}.", ranges.join(", "))
}

fn counts_sentence(summary: &Summary) -> String {
    let [completed, diverged, timed_out, failed] = summary.n_by_status;
    let Summary { n_points, n_trials, .. } = summary;
    format!(
        "{n_trials} trials of {n_points} points: {completed} with a value, {diverged} diverged, {timed_out} timed out, \
         {failed} failed."
    )
}

fn generations_sentence(search: &Search, summary: &Summary, ended: Ended) -> Option<String> {
    let (n, has_converged) = summary.generations?;
    let how = match (has_converged, ended) {
        (true, _) => "the distribution is as narrow as --tolerance asks",
        (false, Ended::Interrupted) => "interrupted",
        (false, Ended::Finished) => "ended by --trials before the distribution was as narrow as --tolerance asks",
    };
    Some(format!("{n} whole generations of {}: {how}.", search.settings().strategy.name()))
}

fn spared_sentence(plan: &Plan, search: &Search, summary: &Summary) -> Option<String> {
    let (spared, wide) = (summary.spared?, plan.wide.as_ref()?);
    let as_dense = match search.settings().strategy {
        Strategy::Grid(_) => "a grid of the same spacing",
        Strategy::Random { .. } => "random points as dense, by the ratio of the widths,",
        Strategy::CrossEntropy { .. } => "a first generation as dense, and the later ones as they were,",
    };
    let outside = if spared.outside_decades < 1e-9 {
        String::new()
    } else {
        format!(" It holds nothing of {} of the decades searched.", short(spared.outside_decades))
    };
    Some(format!(
        "{}: {} decades searched, {} in the range of trial and error, {:e} to {:e}: there {as_dense} would have taken {:.0} \
         trials instead of {}.{outside} The default of {} is {:e}.",
        wide.parameter,
        short(spared.searched_decades),
        short(spared.wide_decades),
        wide.low,
        wide.high,
        spared.wide_trials.ceil(),
        summary.n_trials,
        plan.optimizer,
        plan.optimizer.default_epsilon(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_five_digits() {
        let shown = [0.0, 0.331_234_5, 12.345_678, 123_456.7, 1.5e-5, -0.25, 1e7].map(short);
        assert_eq!(shown, ["0", "0.33123", "12.346", "123457", "1.5e-5", "-0.25", "1e7"]);
    }
}

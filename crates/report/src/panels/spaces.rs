//! Bounds of a run's parts, and search spaces of its optimizers.

use epsiloscope_analysis::{Bound, Estimate, Scope, SearchSpace};
use epsiloscope_figure::{BoundRow, Bounds, Interval, Panel, SearchSpaceRow, SearchSpaces, Text, grouped};
use epsiloscope_format::Run;

use super::Selection;
use super::heading::{self, counted};
use super::marks::marks_of_epsilon;

/// The bounds of every part of a scope that is shown, by the first combination that was asked for; `None` if none has any.
pub(super) fn bounds(run: &Run, estimate: &Estimate, scope: Scope, selection: &Selection) -> Option<Panel> {
    let of_scope = || estimate.spaces.iter().filter(|space| space.scope == scope);
    let combination = of_scope().next()?.combination;
    let of_scope = of_scope().filter(|space| space.combination == combination);
    let is_shown = |space: &&SearchSpace| space.tensors.iter().any(|tensor| selection.admits(tensor));
    let rows: Vec<BoundRow> = of_scope.filter(is_shown).map(|space| row(estimate, space)).collect();
    let noun = scope.name().to_owned();
    let details = [
        Some(Text::from("bounds of ").italic("ε").and(&format!(
            " of {} after step {}, by {noun}",
            estimate.optimizer,
            grouped(estimate.step)
        ))),
        (rows.len() > 1).then(|| Text::from(counted(rows.len() as u64, scope.name()).as_str())),
        heading::unfinished(run),
    ];
    (!rows.is_empty()).then(|| {
        Panel::Bounds(Bounds {
            heading: heading::of(run, None, &details.into_iter().flatten().collect::<Vec<_>>()),
            optimizer: estimate.optimizer.name().to_owned(),
            noun,
            rows,
            marks: marks_of_epsilon(estimate),
        })
    })
}

fn row(estimate: &Estimate, space: &SearchSpace) -> BoundRow {
    let interval = |bound: &Bound| Interval { value: bound.value, low: bound.low, high: bound.high };
    BoundRow {
        name: space.name.clone().unwrap_or_else(|| "all tensors".to_owned()),
        lower: interval(&space.lower.bound),
        upper: interval(&space.upper.bound),
        sets_lower: space.sets(&estimate.lower),
        sets_upper: space.sets(&estimate.upper),
    }
}

/// One row per optimizer; `None` without any.
pub(super) fn search_spaces(run: &Run, estimates: &[Estimate]) -> Option<Panel> {
    let rows: Vec<SearchSpaceRow> = estimates.iter().map(|estimate| space_row(run, estimate)).collect();
    let step = estimates.first()?.step;
    let details = [
        Some(Text::from("search space of ").italic("ε").and(&format!(" after step {}, by optimizer", grouped(step)))),
        heading::unfinished(run),
    ];
    let heading = heading::of(run, None, &details.into_iter().flatten().collect::<Vec<_>>());
    Some(Panel::SearchSpaces(SearchSpaces { heading, rows }))
}

fn space_row(run: &Run, estimate: &Estimate) -> SearchSpaceRow {
    SearchSpaceRow {
        run: run.manifest().run.clone(),
        optimizer: estimate.optimizer.name().to_owned(),
        exponents: estimate.exponents(),
        bounds: (estimate.lower.bound.value, estimate.upper.bound.value),
        own: estimate.own.map(|own| own.epsilon).filter(|epsilon| 0.0 < *epsilon),
        default: estimate.optimizer.default_epsilon(),
    }
}

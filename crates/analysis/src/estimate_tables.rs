//! Estimates as a frame: [`ResultTable::Estimates`](crate::schema::ResultTable::Estimates).

use polars::prelude::*;

use crate::combination::Combination;
use crate::estimate::{CombinedBound, Estimate, SearchSpace};
use crate::grouping::Scope;

/// The columns that fit on a screen, of a table of scopes narrower than the run.
pub const SHORT_COLUMNS: [&str; 12] = [
    "run",
    "optimizer",
    "step",
    "name",
    "combination",
    "numel",
    "method",
    "sample_size",
    "zeros",
    "lower",
    "upper",
    "sets",
];

/// One row per run, optimizer, step, and scope and combination asked for.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn estimate_table(estimates: &[Estimate]) -> PolarsResult<DataFrame> {
    let rows: Vec<Row<'_>> =
        estimates.iter().flat_map(|estimate| estimate.spaces.iter().map(move |space| (estimate, space))).collect();
    let text = |name, value: fn(Row<'_>) -> Option<&str>| column(name, &rows, value);
    let number = |name, value: fn(Row<'_>) -> Option<f64>| column(name, &rows, value);
    let whole = |name, value: fn(Row<'_>) -> Option<i64>| column(name, &rows, value);
    let mut columns = vec![
        text("run", |(e, _)| Some(&e.run)),
        text("mode", |(e, _)| Some(e.mode.name())),
        text("status", |(e, _)| Some(if e.finished { "finished" } else { "unfinished" })),
        text("optimizer", |(e, _)| Some(e.optimizer.name())),
        whole("step", |(e, _)| Some(e.step)),
        whole("last_step", |(e, _)| Some(e.last_step)),
        text("scope", |(_, s)| Some(s.scope.name())),
        text("name", |(_, s)| s.name.as_deref()),
        text("combination", |(_, s)| s.combination.map(Combination::name)),
        number("search_lower", |(_, s)| Some(s.ends().0)),
        number("search_upper", |(_, s)| Some(s.ends().1)),
        whole("decades", |(_, s)| Some(i64::from(s.exponents().1 - s.exponents().0))),
    ];
    columns.extend(bound_columns("lower", &rows, |space| &space.lower));
    columns.extend(bound_columns("upper", &rows, |space| &space.upper));
    columns.extend([
        text("sets", sets),
        whole("tensors", |(_, s)| Some(s.tensors.len() as i64)),
        whole("left_out", |(e, _)| Some(e.left_out.len() as i64)),
        whole("numel", |(_, s)| Some(s.numel as i64)),
        whole("sample_size", |(_, s)| Some(s.sample_size as i64)),
        whole("zeros", |(_, s)| Some(s.zeros as i64)),
        whole("non_finite", |(_, s)| Some(s.non_finite as i64)),
        text("method", |(_, s)| Some(s.method.name())),
        number("percentile", |(e, _)| Some(e.percentile)),
        number("confidence", |(e, _)| Some(e.confidence)),
        number("beta1", |(e, _)| Some(e.decay.beta1)),
        number("beta2", |(e, _)| Some(e.decay.beta2)),
        whole("restarted_after", |(e, _)| e.restarted_after),
        number("default_epsilon", |(e, _)| Some(e.optimizer.default_epsilon())),
        number("own_epsilon", |(e, _)| e.own.map(|own| own.epsilon)),
        number("share_below_own", |(e, _)| e.own.map(|own| own.share_below)),
    ]);
    DataFrame::new_infer_height(columns)
}

type Row<'a> = (&'a Estimate, &'a SearchSpace);

fn bound_columns(side: &str, rows: &[Row<'_>], bound: fn(&SearchSpace) -> &CombinedBound) -> [Column; 9] {
    let name = |suffix: &str| format!("{side}{suffix}");
    let number = |suffix: &str, value: fn(&CombinedBound) -> Option<f64>| {
        column(&name(suffix), rows, |(_, space)| value(bound(space)))
    };
    [
        number("", |of| Some(of.bound.value)),
        number("_low", |of| of.bound.low),
        number("_high", |of| of.bound.high),
        number("_boot_low", |of| of.bound.bootstrap.map(|(low, _)| low)),
        number("_boot_high", |of| of.bound.bootstrap.map(|(_, high)| high)),
        column(&name("_tensor"), rows, |(_, space)| Some(bound(space).tensor.as_str())),
        column(&name("_method"), rows, |(_, space)| Some(bound(space).method.name())),
        column(&name("_sample_size"), rows, |(_, space)| Some(bound(space).sample_size as i64)),
        number("_without", |of| of.without),
    ]
}

fn sets((estimate, space): Row<'_>) -> Option<&str> {
    if space.scope == Scope::Run {
        return None;
    }
    match (space.sets(&estimate.lower), space.sets(&estimate.upper)) {
        (true, true) => Some("both"),
        (true, false) => Some("lower"),
        (false, true) => Some("upper"),
        (false, false) => Some(""),
    }
}

/// A column of numbers or text, null where there is no value.
fn column<'a, T>(name: &str, rows: &[Row<'a>], value: impl Fn(Row<'a>) -> Option<T>) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    Column::new(name.into(), rows.iter().map(|&row| value(row)).collect::<Vec<Option<T>>>())
}

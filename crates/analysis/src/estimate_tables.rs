//! Estimates as a frame.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `run`, `mode`, `status` | text | the run, `calibration` or `monitoring`, `finished` or `unfinished` |
//! | `optimizer` | text | whose ε, see [`Convention`](epsiloscope_moments::Convention) |
//! | `step`, `last_step` | integer | after which step; the last complete one |
//! | `scope`, `name` | text | `tensor`, `layer`, `kind` or `run`, and which; null for the run |
//! | `combination` | text | `extremes`, `pooled` or `robust`; null for a tensor |
//! | `search_lower`, `search_upper` | number | the search space, powers of ten |
//! | `decades` | integer | its width |
//! | `lower`, `lower_low`, `lower_high` | number | the bound; what it lies between: for certain, or with the stated confidence for a sample; null where the sample cannot tell |
//! | `lower_boot_low`, `lower_boot_high` | number | bootstrap interval; the bound itself if exact, null if from bins alone |
//! | `lower_tensor`, `lower_method`, `lower_sample_size` | text, text, integer | which tensor sets it; `exact`, `bins` or `sample`; from how many values |
//! | `lower_without` | number | what the other tensors would set; null without others |
//! | `upper…` | | the same of the upper bound |
//! | `sets` | text | whether tensors of this row set the run's bounds: `lower`, `upper`, `both` or empty; null for the run |
//! | `tensors`, `left_out` | integer | tensors that set bounds in this row; tensors of the run that set none |
//! | `numel`, `sample_size`, `zeros`, `non_finite` | integer | elements of those tensors; values ordered, exactly zero, infinite or not a number |
//! | `method` | text | the least exact of the tensors' methods |
//! | `percentile`, `confidence`, `beta1`, `beta2` | number | as asked, as recorded |
//! | `restarted_after` | integer | the step after which the recorder's moments began anew, else null |
//! | `default_epsilon`, `own_epsilon`, `share_below_own` | number | the optimizer's default ε; the run's own and the share of elements whose critical ε is smaller, null if it was trained with another optimizer |

use polars::prelude::*;

use crate::along::mode_name;
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
        text("mode", |(e, _)| Some(mode_name(e.mode))),
        text("status", |(e, _)| Some(if e.finished { "finished" } else { "unfinished" })),
        text("optimizer", |(e, _)| Some(e.optimizer.name())),
        whole("step", |(e, _)| Some(e.step)),
        whole("last_step", |(e, _)| Some(e.last_step)),
        text("scope", |(_, s)| Some(s.scope.name())),
        text("name", |(_, s)| s.name.as_deref()),
        text("combination", |(_, s)| s.combination.map(|combination| combination.name())),
        number("search_lower", |(_, s)| power(s.exponents().0)),
        number("search_upper", |(_, s)| power(s.exponents().1)),
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

fn sets<'a>((estimate, space): Row<'a>) -> Option<&'a str> {
    if space.scope == Scope::Run {
        return None;
    }
    let has = |bound: &CombinedBound| space.tensors.contains(&bound.tensor);
    match (has(&estimate.lower), has(&estimate.upper)) {
        (true, true) => Some("both"),
        (true, false) => Some("lower"),
        (false, true) => Some("upper"),
        (false, false) => Some(""),
    }
}

fn power(exponent: i32) -> Option<f64> {
    format!("1e{exponent}").parse().ok()
}

/// A column of numbers or text, null where there is no value.
fn column<'a, T>(name: &str, rows: &[Row<'a>], value: impl Fn(Row<'a>) -> Option<T>) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    Column::new(name.into(), rows.iter().map(|&row| value(row)).collect::<Vec<Option<T>>>())
}

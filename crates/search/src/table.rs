//! Trials and points as tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatchOptions;
use epsiloscope_format::parquet_file::encode_results;

use crate::engine::Search;
use crate::error::SearchError;
use crate::log::Logged;
use crate::parameter::{Domain, Parameter, Value};
use crate::summary::Summary;
use crate::trial::{Outcome, Point};

type Columns = Vec<(String, ArrayRef)>;

/// One row per finished trial, by point and seed, also of points some of whose trials are not: `point`, `seed`, the
/// parameters, `status`, `value`, `reason`, `elapsed_secs`.
///
/// # Errors
/// None, for names that differ.
pub fn trials_table(search: &Search) -> Result<RecordBatch, SearchError> {
    let rows: Vec<&Logged> = search.finished().collect();
    let mut columns: Columns = vec![
        whole("point", rows.iter().map(|row| row.point as i64)),
        whole("seed", rows.iter().map(|row| row.seed as i64)),
    ];
    for (place, parameter) in search.settings().parameters.iter().enumerate() {
        let texts = rows.iter().map(|row| row.values.get(place).map(String::as_str));
        columns.push(match parameter.domain() {
            Domain::Range { .. } => number(parameter.name(), texts.map(|text| text?.parse().ok())),
            Domain::Choices(_) => text(parameter.name(), texts),
        });
    }
    columns.extend([
        text("status", rows.iter().map(|row| Some(row.outcome.status()))),
        number("value", rows.iter().map(|row| row.outcome.value())),
        text("reason", rows.iter().map(|row| row.outcome.reason())),
        number("elapsed_secs", rows.iter().map(|row| Some(row.elapsed_secs))),
    ]);
    batch(columns)
}

/// One row per point, the best first, then those without a value in the order of proposal: `rank`, `point`, the
/// parameters, `value` (the mean over the seeds), `spread`, `seeds`, `status`, `best`, `within_noise`.
///
/// # Errors
/// As [`trials_table`].
pub fn points_table(search: &Search, summary: &Summary) -> Result<RecordBatch, SearchError> {
    let points = search.points();
    let ranked = summary.ranking.iter().map(|&index| &points[index]);
    let points: Vec<&Point> = ranked.chain(points.iter().filter(|point| point.value().is_none())).collect();
    let n_ranked = summary.ranking.len();
    let rank = |place: usize| (place < n_ranked).then_some(place as i64 + 1);
    let mut columns: Columns = vec![
        ("rank".to_owned(), Arc::new((0..points.len()).map(rank).collect::<Int64Array>())),
        whole("point", points.iter().map(|point| point.index as i64)),
    ];
    columns.extend(parameter_columns(&search.settings().parameters, &points));
    let within = |place: usize| summary.within_noise.get(place).copied().flatten();
    columns.extend([
        number("value", points.iter().map(|point| point.value())),
        number("spread", points.iter().map(|point| point.spread())),
        whole("seeds", points.iter().map(|point| point.trials.len() as i64)),
        text("status", points.iter().map(|point| point.outcome().map(Outcome::status))),
        truth("best", (0..points.len()).map(|place| Some(place == 0 && 0 < n_ranked))),
        truth("within_noise", (0..points.len()).map(within)),
    ]);
    batch(columns)
}

/// One row: counts, the best point, the range of what lies within noise of it, and what the wide range would have taken.
///
/// # Errors
/// As [`trials_table`].
pub fn summary_table(search: &Search, summary: &Summary) -> Result<RecordBatch, SearchError> {
    let best = summary.best().map(|index| &search.points()[index]);
    let [completed, diverged, timed_out, failed] = summary.n_by_status.map(|n| n as i64);
    let n_within = summary.within_noise.iter().filter(|within| **within == Some(true)).count() as i64;
    let mut columns: Columns = vec![
        text("strategy", [Some(search.settings().strategy.name())]),
        text("goal", [Some(summary.goal.name())]),
        whole("points", [summary.n_points as i64]),
        whole("trials", [summary.n_trials as i64]),
        whole("completed", [completed]),
        whole("diverged", [diverged]),
        whole("timed_out", [timed_out]),
        whole("failed", [failed]),
        number("best_value", [best.and_then(Point::value)]),
        number("best_spread", [best.and_then(Point::spread)]),
        whole("points_within_noise", [n_within]),
    ];
    for (place, parameter) in search.settings().parameters.iter().enumerate() {
        columns.extend(best_columns(parameter, place, best, summary));
    }
    let spared = summary.spared;
    columns.extend([
        number("searched_decades", [spared.map(|of| of.searched_decades)]),
        number("wide_decades", [spared.map(|of| of.wide_decades)]),
        number("outside_decades", [spared.map(|of| of.outside_decades)]),
        number("wide_trials", [spared.map(|of| of.wide_trials)]),
    ]);
    batch(columns)
}

fn best_columns(parameter: &Parameter, place: usize, best: Option<&Point>, summary: &Summary) -> Columns {
    let name = |kind: &str| format!("{kind}_{}", parameter.name());
    let value = best.map(|best| &best.values[place]);
    let good = summary.good[place];
    match parameter.domain() {
        Domain::Choices(_) => vec![text(&name("best"), [value.map(|value| parameter.text(value)).as_deref()])],
        Domain::Range { .. } => vec![
            number(&name("best"), [value.and_then(number_of)]),
            number(&name("good_lower"), [good.map(|good| good.0)]),
            number(&name("good_upper"), [good.map(|good| good.1)]),
        ],
    }
}

/// The finished trials as a file.
pub(crate) fn trials_parquet(search: &Search) -> Result<Vec<u8>, SearchError> {
    let table = trials_table(search)?;
    encode_results(&table, &[]).map_err(|fault| ArrowError::from(fault).into())
}

fn parameter_columns(parameters: &[Parameter], points: &[&Point]) -> Columns {
    let column = |(place, parameter): (usize, &Parameter)| {
        let values = points.iter().map(|point| &point.values[place]);
        match parameter.domain() {
            Domain::Range { .. } => number(parameter.name(), values.map(number_of)),
            Domain::Choices(_) => {
                let texts: Vec<String> = values.map(|value| parameter.text(value)).collect();
                text(parameter.name(), texts.iter().map(|text| Some(text.as_str())))
            }
        }
    };
    parameters.iter().enumerate().map(column).collect()
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Choice(_) => None,
    }
}

fn whole(name: &str, values: impl IntoIterator<Item = i64>) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(Int64Array::from_iter_values(values)))
}

fn number(name: &str, values: impl IntoIterator<Item = Option<f64>>) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(values.into_iter().collect::<Float64Array>()))
}

fn truth(name: &str, values: impl IntoIterator<Item = Option<bool>>) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(values.into_iter().collect::<BooleanArray>()))
}

fn text<'a>(name: &str, values: impl IntoIterator<Item = Option<&'a str>>) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(values.into_iter().collect::<StringArray>()))
}

fn batch(columns: Columns) -> Result<RecordBatch, SearchError> {
    let field = |(name, array): &(String, ArrayRef)| {
        arrow::datatypes::Field::new(name, array.data_type().clone(), 0 < array.null_count())
    };
    let schema = arrow::datatypes::Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let n_rows = columns.first().map_or(0, |column| column.1.len());
    let arrays = columns.into_iter().map(|column| column.1).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)?)
}

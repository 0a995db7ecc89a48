//! Estimates as frames.

use polars::prelude::*;

use crate::along::mode_name;
use crate::estimate::{Bound, Estimate, TensorEstimate};

/// One row per run and optimizer: the search space, its bounds, the tensors that set them.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn run_table(estimates: &[Estimate]) -> PolarsResult<DataFrame> {
    let column = |name: &str, value: &dyn Fn(&Estimate) -> Option<f64>| numbers(name, estimates.iter().map(value));
    let text = |name: &str, value: &dyn Fn(&Estimate) -> String| texts(name, estimates.iter().map(value));
    let whole = |name: &str, value: &dyn Fn(&Estimate) -> i64| wholes(name, estimates.iter().map(value));
    let power = |exponent: i32| format!("1e{exponent}").parse().ok();
    let setting = |estimate: &Estimate, name: &str| {
        let tensor = estimate.tensors.iter().find(|tensor| tensor.tensor == name);
        tensor.map(|tensor| (tensor.method.name().to_owned(), tensor.sample_size as i64)).unwrap_or_default()
    };
    DataFrame::new_infer_height(vec![
        text("run", &|e| e.run.clone()),
        text("mode", &|e| mode_name(e.mode).to_owned()),
        text("optimizer", &|e| e.optimizer.name().to_owned()),
        column("search_lower", &|e| power(e.exponents().0)),
        column("search_upper", &|e| power(e.exponents().1)),
        whole("decades", &|e| i64::from(e.decades())),
        column("lower", &|e| Some(e.lower.bound.value)),
        column("lower_low", &|e| e.lower.bound.low),
        column("lower_high", &|e| e.lower.bound.high),
        text("lower_tensor", &|e| e.lower.tensor.clone()),
        text("lower_method", &|e| setting(e, &e.lower.tensor).0),
        whole("lower_sample_size", &|e| setting(e, &e.lower.tensor).1),
        column("lower_without", &|e| e.lower.without),
        column("upper", &|e| Some(e.upper.bound.value)),
        column("upper_low", &|e| e.upper.bound.low),
        column("upper_high", &|e| e.upper.bound.high),
        text("upper_tensor", &|e| e.upper.tensor.clone()),
        text("upper_method", &|e| setting(e, &e.upper.tensor).0),
        whole("upper_sample_size", &|e| setting(e, &e.upper.tensor).1),
        column("upper_without", &|e| e.upper.without),
        whole("tensors", &|e| e.tensors.len() as i64),
        whole("left_out", &|e| e.left_out.len() as i64),
        whole("step", &|e| e.step),
        whole("last_step", &|e| e.last_step),
        Column::new("restarted_after".into(), estimates.iter().map(|e| e.restarted_after).collect::<Vec<_>>()),
        text("status", &|e| if e.finished { "finished" } else { "unfinished" }.to_owned()),
        column("percentile", &|e| Some(e.percentile)),
        column("beta1", &|e| Some(e.decay.beta1)),
        column("beta2", &|e| Some(e.decay.beta2)),
        column("own_epsilon", &|e| e.own.map(|own| own.epsilon)),
        column("share_below_own", &|e| e.own.map(|own| own.share_below)),
    ])
}

/// One row per run, optimizer and tensor: the bounds that the tensor would set alone.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn tensor_table(estimates: &[Estimate]) -> PolarsResult<DataFrame> {
    let rows: Vec<(&Estimate, &TensorEstimate)> =
        estimates.iter().flat_map(|estimate| estimate.tensors.iter().map(move |tensor| (estimate, tensor))).collect();
    let rows = || rows.iter().copied();
    let bound = |name: &str, value: &dyn Fn(&TensorEstimate) -> Bound| {
        let part = |suffix: &str, part: &dyn Fn(Bound) -> Option<f64>| {
            numbers(&format!("{name}{suffix}"), rows().map(|(_, tensor)| part(value(tensor))))
        };
        [part("", &|bound| Some(bound.value)), part("_low", &|bound| bound.low), part("_high", &|bound| bound.high)]
    };
    let sets = |estimate: &Estimate, tensor: &TensorEstimate| match (
        estimate.lower.tensor == tensor.tensor,
        estimate.upper.tensor == tensor.tensor,
    ) {
        (true, true) => "both",
        (true, false) => "lower",
        (false, true) => "upper",
        (false, false) => "",
    };
    let mut columns = vec![
        texts("run", rows().map(|(estimate, _)| estimate.run.clone())),
        texts("optimizer", rows().map(|(estimate, _)| estimate.optimizer.name().to_owned())),
        texts("tensor", rows().map(|(_, tensor)| tensor.tensor.clone())),
        wholes("numel", rows().map(|(_, tensor)| tensor.numel as i64)),
        texts("method", rows().map(|(_, tensor)| tensor.method.name().to_owned())),
        wholes("sample_size", rows().map(|(_, tensor)| tensor.sample_size as i64)),
        wholes("zeros", rows().map(|(_, tensor)| tensor.zeros as i64)),
        wholes("non_finite", rows().map(|(_, tensor)| tensor.non_finite as i64)),
    ];
    columns.extend(bound("lower", &|tensor| tensor.lower));
    columns.extend(bound("upper", &|tensor| tensor.upper));
    columns.push(texts("sets", rows().map(|(estimate, tensor)| sets(estimate, tensor).to_owned())));
    DataFrame::new_infer_height(columns)
}

fn numbers(name: &str, values: impl Iterator<Item = Option<f64>>) -> Column {
    Column::new(name.into(), values.collect::<Vec<_>>())
}

fn wholes(name: &str, values: impl Iterator<Item = i64>) -> Column {
    Column::new(name.into(), values.collect::<Vec<_>>())
}

fn texts(name: &str, values: impl Iterator<Item = String>) -> Column {
    Column::new(name.into(), values.collect::<Vec<_>>())
}

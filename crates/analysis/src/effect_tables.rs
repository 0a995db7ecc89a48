//! Candidates as frames.

use polars::prelude::*;

use crate::effects::{Candidates, Effect, Rates};
use crate::search_grid::power_of_ten;

/// One row per run, optimizer, step, ε and part of the scope: what that ε does there.
///
/// # Units
/// Shares are fractions; `learning_rate` is that of the reference, at which `rate_low`, `rate_median`, `rate_high` and
/// `sgd_rate` hold, `matched_learning_rate` the one to try with this ε; all are null where the run's rate is not known.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn candidate_table(candidates: &[Candidates]) -> PolarsResult<DataFrame> {
    let rows: Vec<(&Candidates, &Effect)> =
        candidates.iter().flat_map(|of| of.effects.iter().map(move |effect| (of, effect))).collect();
    let numbers = |value: fn(&Effect) -> f64| rows.iter().map(|(_, effect)| value(effect)).collect::<Vec<f64>>();
    let rates = |value: fn(&Rates) -> f64| {
        rows.iter().map(|(_, effect)| effect.rates.as_ref().map(value)).collect::<Vec<Option<f64>>>()
    };
    let texts = |value: fn(&Effect) -> &str| rows.iter().map(|(_, effect)| value(effect)).collect::<Vec<&str>>();
    df![
        "run" => rows.iter().map(|(of, _)| of.run.as_str()).collect::<Vec<_>>(),
        "optimizer" => rows.iter().map(|(of, _)| of.optimizer.name()).collect::<Vec<_>>(),
        "step" => rows.iter().map(|(of, _)| of.step).collect::<Vec<_>>(),
        "scope" => texts(|effect| effect.scope.name()),
        "name" => rows.iter().map(|(_, effect)| effect.name.as_deref()).collect::<Vec<_>>(),
        "epsilon" => numbers(|effect| effect.epsilon),
        "role" => texts(|effect| effect.role.name()),
        "learning_rate" => rows.iter().map(|(of, _)| of.learning_rate).collect::<Vec<_>>(),
        "matched_learning_rate" => rows.iter().map(|(_, effect)| effect.matched_learning_rate).collect::<Vec<_>>(),
        "share_below" => numbers(|effect| effect.share_below.value),
        "share_low" => numbers(|effect| effect.share_below.low),
        "share_high" => numbers(|effect| effect.share_below.high),
        "regime" => texts(|effect| effect.regime.name()),
        "rate_low" => rates(|rates| rates.low),
        "rate_median" => rates(|rates| rates.median),
        "rate_high" => rates(|rates| rates.high),
        "sgd_rate" => rows.iter().map(|(_, effect)| effect.sgd_rate).collect::<Vec<_>>(),
        "method" => texts(|effect| effect.method.name()),
        "sample_size" => rows.iter().map(|(_, effect)| effect.sample_size as i64).collect::<Vec<_>>(),
    ]
}

/// One row per run, optimizer and step: how many times narrower the search space is than trial and error.
///
/// # Units
/// Ends are ε, widths decades; `narrowing` is null of a search space that is a single power of ten.
///
/// # Errors
/// None that is known; polars reports its own.
pub fn narrowing_table(candidates: &[Candidates]) -> PolarsResult<DataFrame> {
    let numbers = |value: fn(&Candidates) -> f64| candidates.iter().map(value).collect::<Vec<f64>>();
    df![
        "run" => candidates.iter().map(|of| of.run.as_str()).collect::<Vec<_>>(),
        "optimizer" => candidates.iter().map(|of| of.optimizer.name()).collect::<Vec<_>>(),
        "step" => candidates.iter().map(|of| of.step).collect::<Vec<_>>(),
        "search_lower" => numbers(|of| power_of_ten(of.search.0)),
        "search_upper" => numbers(|of| power_of_ten(of.search.1)),
        "search_decades" => numbers(Candidates::search_decades),
        "trial_lower" => numbers(|of| of.trial.0),
        "trial_upper" => numbers(|of| of.trial.1),
        "trial_decades" => numbers(Candidates::trial_decades),
        "narrowing" => candidates.iter().map(Candidates::narrowing).collect::<Vec<_>>(),
    ]
}

//! JSON and YAML documents.

use serde_json::{Map, Value, json};

use crate::commented::{commented, parts, usage};
use crate::space::SearchSpace;

pub(crate) fn optuna(space: &SearchSpace) -> String {
    let attributes = json!({ "step": null, "low": space.lower(), "high": space.upper(), "log": true });
    document(&json!({ space.parameter(): { "name": "FloatDistribution", "attributes": attributes } }))
}

pub(crate) fn config_space(space: &SearchSpace) -> String {
    let parameter = json!({
        "type": "uniform_float",
        "name": space.parameter(),
        "lower": space.lower(),
        "upper": space.upper(),
        "default_value": space.middle(),
        "log": true,
    });
    document(&json!({ "name": null, "hyperparameters": [parameter], "conditions": [], "forbiddens": [] }))
}

pub(crate) fn nni(space: &SearchSpace) -> String {
    document(&json!({ space.parameter(): { "_type": "loguniform", "_value": [space.lower(), space.upper()] } }))
}

/// Everything that is known.
pub(crate) fn json(space: &SearchSpace) -> String {
    let provenance = space.provenance().iter().map(|(what, said)| ((*what).to_owned(), said.as_str().into()));
    document(&json!({
        "parameter": space.parameter(),
        "optimizer": space.optimizer().name(),
        "usage": usage(space.optimizer()),
        "scale": "log",
        "low": space.lower(),
        "high": space.upper(),
        "provenance": provenance.collect::<Map<String, Value>>(),
    }))
}

pub(crate) fn wandb(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(
        space,
        &format!(
            "\
method: random
parameters:
  {name}:
    distribution: log_uniform_values
    min: {lower}
    max: {upper}
"
        ),
    )
}

/// For the Optuna sweeper, as a file of any group of an application's configuration: its header and the sweeper's absolute
/// name say that it is of the whole configuration, wherever it lies.
pub(crate) fn hydra(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    let document = commented(
        space,
        &format!(
            "\
defaults:
  - override /hydra/sweeper: optuna
hydra:
  sweeper:
    params:
      {name}: tag(log, interval({lower}, {upper}))
"
        ),
    );
    format!("# @package _global_\n{document}")
}

/// What stands under `spec` of an Experiment; Katib takes numbers as text.
pub(crate) fn katib(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(
        space,
        &format!(
            "\
parameters:
  - name: {name}
    parameterType: double
    feasibleSpace:
      min: \"{lower}\"
      max: \"{upper}\"
      distribution: logUniform
"
        ),
    )
}

fn document(value: &Value) -> String {
    format!("{value:#}\n")
}

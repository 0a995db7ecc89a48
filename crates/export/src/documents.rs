//! JSON and YAML documents.

use epsiloscope_moments::Convention;
use serde_json::{Map, Value, json};

use crate::space::{SearchSpace, number};

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
    let SpaceText { name, lower, upper } = SpaceText::of(space);
    yaml(
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

/// The Optuna sweeper; that of Nevergrad reads the same parameters.
pub(crate) fn hydra(space: &SearchSpace) -> String {
    let SpaceText { name, lower, upper } = SpaceText::of(space);
    yaml(
        space,
        &format!(
            "\
defaults:
  - override hydra/sweeper: optuna
hydra:
  sweeper:
    params:
      {name}: tag(log, interval({lower}, {upper}))
"
        ),
    )
}

/// What stands under `spec` of an Experiment; Katib takes numbers as text.
pub(crate) fn katib(space: &SearchSpace) -> String {
    let SpaceText { name, lower, upper } = SpaceText::of(space);
    yaml(
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

/// What YAML is made of: names need no quotes.
struct SpaceText<'a> {
    name: &'a str,
    lower: String,
    upper: String,
}

impl<'a> SpaceText<'a> {
    fn of(space: &'a SearchSpace) -> Self {
        Self { name: space.parameter(), lower: number(space.lower()), upper: number(space.upper()) }
    }
}

fn yaml(space: &SearchSpace, body: &str) -> String {
    format!("{}{body}", comment(space))
}

/// Where the space comes from and where the value goes; Python and YAML begin comments alike.
pub(crate) fn comment(space: &SearchSpace) -> String {
    let provenance = space.provenance().iter().map(|(what, said)| format!("# {what}: {said}\n"));
    let usage = format!("# use: {}\n", usage(space.optimizer()));
    provenance.chain([usage]).collect()
}

fn document(value: &Value) -> String {
    format!("{value:#}\n")
}

/// How the value is handed to the optimizer in its own package.
fn usage(optimizer: Convention) -> &'static str {
    match optimizer.name() {
        "adam" => "torch.optim.Adam(params, lr=lr, eps=eps)",
        "adamw" => "torch.optim.AdamW(params, lr=lr, eps=eps)",
        "nadam" => "torch.optim.NAdam(params, lr=lr, eps=eps)",
        "optax-adam" => "optax.adam(lr, eps=eps)",
        "optax-eps-root" => "optax.adam(lr, eps=0.0, eps_root=eps_root)",
        "amsgrad" => "torch.optim.Adam(params, lr=lr, eps=eps, amsgrad=True)",
        "radam" => "torch.optim.RAdam(params, lr=lr, eps=eps)",
        "keras-adam" => "keras.optimizers.Adam(learning_rate=lr, epsilon=epsilon)",
        "rmsprop" => "torch.optim.RMSprop(params, lr=lr, eps=eps)",
        "tf-rmsprop" => "keras.optimizers.RMSprop(learning_rate=lr, epsilon=epsilon)",
        "optax-rmsprop" => "optax.rmsprop(lr, eps=eps)",
        "rmsprop-centered" => "torch.optim.RMSprop(params, lr=lr, eps=eps, centered=True)",
        "adagrad" => "torch.optim.Adagrad(params, lr=lr, eps=eps)",
        "adabelief" => "adabelief_pytorch.AdaBelief(params, lr=lr, eps=eps)",
        "adamomentum" => "AdaMomentum(params, lr=lr, eps=eps)",
        "eadam" => "EAdam(params, lr=lr, eps=eps)",
        "yogi" => "torch_optimizer.Yogi(params, lr=lr, eps=eps)",
        other => other,
    }
}

//! Python modules that import nothing but the tool: each has a `SPACE`, a function `suggest`, or both.

use crate::commented::{commented, parts};
use crate::space::{SearchSpace, number};

pub(crate) fn optuna(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(
        space,
        &format!(
            "\
import optuna

SPACE = {{\"{name}\": optuna.distributions.FloatDistribution({lower}, {upper}, log=True)}}


def suggest(trial: optuna.Trial) -> float:
    return trial.suggest_float(\"{name}\", {lower}, {upper}, log=True)
"
        ),
    )
}

pub(crate) fn ray(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(space, &format!("from ray import tune\n\nSPACE = {{\"{name}\": tune.loguniform({lower}, {upper})}}\n"))
}

/// In logarithms: Ax refuses ranges narrower than 1.5e-5, logarithmic ones too.
pub(crate) fn ax(space: &SearchSpace) -> String {
    let name = space.parameter();
    let (lower, upper) = (space.lower().log10(), space.upper().log10());
    commented(
        space,
        &format!(
            "\
from ax.api.configs import RangeParameterConfig

# Of log10 {name}: Ax takes no range as narrow as that of {name} itself may be.
SPACE = [RangeParameterConfig(name=\"log10_{flat}\", bounds=({lower:?}, {upper:?}), parameter_type=\"float\")]


def suggest(parameters: dict) -> float:
    \"\"\"The {name} of a trial's parameters.\"\"\"
    return min(max(10.0 ** parameters[\"log10_{flat}\"], {first}), {last})
",
            flat = name.replace('.', "_"),
            first = number(space.lower()),
            last = number(space.upper()),
        ),
    )
}

pub(crate) fn smac(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    let middle = number(space.middle());
    commented(
        space,
        &format!(
            "\
from ConfigSpace import ConfigurationSpace, Float

SPACE = ConfigurationSpace()
SPACE.add(Float(\"{name}\", ({lower}, {upper}), log=True, default={middle}))
"
        ),
    )
}

pub(crate) fn nevergrad(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    let python = format!(
        "import nevergrad as ng\n\nSPACE = ng.p.Dict(**{{\"{name}\": ng.p.Log(lower={lower}, upper={upper})}})\n"
    );
    commented(space, &python)
}

/// Hyperopt takes natural logarithms.
pub(crate) fn hyperopt(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(
        space,
        &format!(
            "\
import math

from hyperopt import hp

SPACE = {{\"{name}\": hp.loguniform(\"{name}\", math.log({lower}), math.log({upper}))}}
"
        ),
    )
}

pub(crate) fn keras_tuner(space: &SearchSpace) -> String {
    let (name, lower, upper) = parts(space);
    commented(
        space,
        &format!(
            "\
import keras_tuner


def suggest(hp: keras_tuner.HyperParameters) -> float:
    return hp.Float(\"{name}\", min_value={lower}, max_value={upper}, sampling=\"log\")
"
        ),
    )
}

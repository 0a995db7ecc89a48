//! Who is to search.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A tool for hyperparameter search, and the form in which it takes spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Optuna, a Python module.
    Optuna,
    /// Optuna's distributions as JSON, for `optuna ask --search-space`.
    OptunaJson,
    /// Ray Tune, a Python module.
    Ray,
    /// A sweep of Weights & Biases, YAML.
    Wandb,
    /// Hydra with its Optuna sweeper, YAML.
    Hydra,
    /// `ConfigSpace`, JSON.
    ConfigSpace,
    /// SMAC 3, a Python module.
    Smac,
    /// Ax, a Python module.
    Ax,
    /// Nevergrad, a Python module.
    Nevergrad,
    /// Hyperopt, a Python module.
    Hyperopt,
    /// Keras Tuner, a Python module.
    KerasTuner,
    /// NNI, JSON.
    Nni,
    /// Katib, YAML.
    Katib,
    /// Plain JSON, for everything else.
    Json,
}

impl Tool {
    /// Every tool, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::Optuna,
        Self::OptunaJson,
        Self::Ray,
        Self::Wandb,
        Self::Hydra,
        Self::ConfigSpace,
        Self::Smac,
        Self::Ax,
        Self::Nevergrad,
        Self::Hyperopt,
        Self::KerasTuner,
        Self::Nni,
        Self::Katib,
        Self::Json,
    ];

    /// The name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Optuna => "optuna",
            Self::OptunaJson => "optuna-json",
            Self::Ray => "ray",
            Self::Wandb => "wandb",
            Self::Hydra => "hydra",
            Self::ConfigSpace => "configspace",
            Self::Smac => "smac",
            Self::Ax => "ax",
            Self::Nevergrad => "nevergrad",
            Self::Hyperopt => "hyperopt",
            Self::KerasTuner => "keras-tuner",
            Self::Nni => "nni",
            Self::Katib => "katib",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no [`Tool`] has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown tool {asked:?}: expected {}", Tool::ALL.map(Tool::name).join(", "))]
pub struct UnknownTool {
    /// What was asked for.
    pub asked: String,
}

impl FromStr for Tool {
    type Err = UnknownTool;

    fn from_str(name: &str) -> Result<Self, UnknownTool> {
        let named = Self::ALL.into_iter().find(|tool| tool.name() == name);
        named.ok_or_else(|| UnknownTool { asked: name.to_owned() })
    }
}

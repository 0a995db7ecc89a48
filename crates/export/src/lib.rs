//! Search spaces of ε as other tools write them down.
//!
//! [`SearchSpace`] is what was found, [`Tool`] who is to search it, and [`write()`] the text that the tool reads: a Python module
//! that imports nothing but the tool, or a JSON or YAML document. All of them search the logarithm of ε evenly, both ends
//! included.
//!
//! This crate knows nothing of runs and how spaces are estimated.
//!
//! # Examples
//! ```
//! use epsiloscope_export::{SearchSpace, Tool, write};
//! use epsiloscope_moments::Optimizer;
//!
//! let space = SearchSpace::new("eps", Optimizer::Adam.into(), (1e-5, 1e-1))?;
//! assert!(write(&space, Tool::Optuna).contains(r#"trial.suggest_float("eps", 1.0e-5, 1.0e-1, log=True)"#));
//! # Ok::<(), epsiloscope_export::SearchSpaceError>(())
//! ```

mod commented;
mod documents;
mod python;
mod space;
mod tool;

pub use space::{SearchSpace, SearchSpaceError};
pub use tool::{Tool, UnknownTool};

/// The search space as a tool reads it, ended by a line break.
pub fn write(space: &SearchSpace, tool: Tool) -> String {
    match tool {
        Tool::Optuna => python::optuna(space),
        Tool::Ray => python::ray(space),
        Tool::Ax => python::ax(space),
        Tool::Smac => python::smac(space),
        Tool::Nevergrad => python::nevergrad(space),
        Tool::Hyperopt => python::hyperopt(space),
        Tool::KerasTuner => python::keras_tuner(space),
        Tool::OptunaJson => documents::optuna(space),
        Tool::ConfigSpace => documents::config_space(space),
        Tool::Nni => documents::nni(space),
        Tool::Json => documents::json(space),
        Tool::Wandb => documents::wandb(space),
        Tool::Hydra => documents::hydra(space),
        Tool::Katib => documents::katib(space),
    }
}

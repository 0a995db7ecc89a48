//! The optimizers that can be asked for, by name.

use anyhow::{Context as _, ensure};
use epsiloscope_optimizers::{
    AdaBelief, AdaMomentum, Adagrad, Adam, Algorithm, EAdam, NAdam, Optimizer, RAdam, RmsProp, WeightDecay, Yogi,
};
use epsiloscope_recorder::OptimizerSettings;
use tch::nn::VarStore;

use crate::args::{OptimizerName, TrainingOptions, name_of};

const DEFAULT_BETA1: f64 = 0.9;
const DEFAULT_BETA2: f64 = 0.999;

/// The optimizer as asked for.
///
/// # Errors
/// Settings that it does not have.
pub(crate) fn optimizer(options: &TrainingOptions, var_store: &VarStore) -> anyhow::Result<Optimizer> {
    let name = options.optimizer;
    let lacks = |option: &str| format!("--{option}: {} has none", name_of(&name));
    ensure!(has_beta1(name) || options.beta1.is_none(), lacks("beta1"));
    ensure!(has_beta2(name) || options.beta2.is_none(), lacks("beta2"));
    Optimizer::new(algorithm(options), var_store, options.lr).context("cannot build the optimizer")
}

/// What the recorder is to know of it.
pub(crate) fn settings(options: &TrainingOptions) -> OptimizerSettings {
    let name = options.optimizer;
    OptimizerSettings {
        name: name_of(&name),
        learning_rate: Some(options.lr),
        epsilon: Some(epsilon(options)),
        beta1: has_beta1(name).then(|| options.beta1.unwrap_or(DEFAULT_BETA1)),
        beta2: has_beta2(name).then(|| options.beta2.unwrap_or(DEFAULT_BETA2)),
        weight_decay: options.weight_decay,
    }
}

/// The coefficient of the term that the optimizer adds to the gradient.
pub(crate) fn coupled_weight_decay(optimizer: &Optimizer) -> f64 {
    match optimizer.algorithm().weight_decay() {
        WeightDecay::Coupled(factor) => factor,
        WeightDecay::Decoupled(_) => 0.0,
    }
}

fn has_beta1(name: OptimizerName) -> bool {
    !matches!(name, OptimizerName::Rmsprop | OptimizerName::RmspropCentered | OptimizerName::Adagrad)
}

fn has_beta2(name: OptimizerName) -> bool {
    name != OptimizerName::Adagrad
}

/// The ε asked for, or the one that each optimizer's reference has.
fn epsilon(options: &TrainingOptions) -> f64 {
    options.epsilon.unwrap_or_else(|| match options.optimizer {
        OptimizerName::Adam | OptimizerName::Adamw | OptimizerName::Amsgrad => Adam::default().epsilon,
        OptimizerName::Nadam => NAdam::default().epsilon,
        OptimizerName::Radam => RAdam::default().epsilon,
        OptimizerName::Rmsprop | OptimizerName::RmspropCentered => RmsProp::default().epsilon,
        OptimizerName::Adagrad => Adagrad::default().epsilon,
        OptimizerName::Adabelief => AdaBelief::default().epsilon,
        OptimizerName::Adamomentum => AdaMomentum::default().epsilon,
        OptimizerName::Eadam => EAdam::default().epsilon,
        OptimizerName::Yogi => Yogi::default().epsilon,
    })
}

/// The table of names. AdaBelief is not rectified, as its critical ε assumes.
fn algorithm(options: &TrainingOptions) -> Box<dyn Algorithm> {
    let beta1 = options.beta1.unwrap_or(DEFAULT_BETA1);
    let beta2 = options.beta2.unwrap_or(DEFAULT_BETA2);
    let epsilon = epsilon(options);
    let weight_decay = WeightDecay::Coupled(options.weight_decay);
    let apart = WeightDecay::Decoupled(options.weight_decay);
    let adam = Adam { beta1, beta2, epsilon, weight_decay, amsgrad: false };
    let rmsprop = RmsProp { alpha: beta2, epsilon, weight_decay, ..RmsProp::default() };
    match options.optimizer {
        OptimizerName::Adam => Box::new(adam),
        OptimizerName::Adamw => Box::new(Adam { weight_decay: apart, ..adam }),
        OptimizerName::Amsgrad => Box::new(Adam { amsgrad: true, ..adam }),
        OptimizerName::Nadam => Box::new(NAdam { beta1, beta2, epsilon, weight_decay, ..NAdam::default() }),
        OptimizerName::Radam => Box::new(RAdam { beta1, beta2, epsilon, weight_decay }),
        OptimizerName::Rmsprop => Box::new(rmsprop),
        OptimizerName::RmspropCentered => Box::new(RmsProp { centered: true, ..rmsprop }),
        OptimizerName::Adagrad => Box::new(Adagrad { epsilon, weight_decay, ..Adagrad::default() }),
        OptimizerName::Adabelief => Box::new(AdaBelief { beta1, beta2, epsilon, weight_decay: apart, rectify: false }),
        OptimizerName::Adamomentum => Box::new(AdaMomentum { beta1, beta2, epsilon, weight_decay: apart }),
        OptimizerName::Eadam => Box::new(EAdam { beta1, beta2, epsilon, weight_decay }),
        OptimizerName::Yogi => Box::new(Yogi { beta1, beta2, epsilon, weight_decay, ..Yogi::default() }),
    }
}

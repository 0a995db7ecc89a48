//! What is trained: data, network, loss and how well it does. The training loop knows no more of them than [`Workload`].

mod idx;
mod images;
mod language;
mod numbers;
mod translation;
mod vocabulary;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::args::{Model, Options};
use crate::models;
use crate::workloads::images::Images;
use crate::workloads::language::Language;
use crate::workloads::translation::Translation;

pub(crate) use crate::workloads::idx::N_CLASSES;

/// Held-out examples that are evaluated at a time.
const EVALUATION_BATCH_SIZE: i64 = 250;

/// The name of a measure on held-out data and its value.
pub(crate) type Metric = (&'static str, f64);

/// A network with the data that it learns from.
pub(crate) trait Workload {
    /// Examples that make an epoch.
    fn n_examples(&self) -> i64;

    /// The mean loss over the training examples of these indices, dropout and batch statistics on.
    fn loss(&self, examples: &Tensor) -> Tensor;

    /// How well the network does on held-out data, dropout and batch statistics off.
    fn evaluate(&self) -> Vec<Metric>;

    /// What tells it from others in the manifest.
    fn labels(&self) -> Vec<(&'static str, String)>;
}

/// Reads the data and builds the network, whose initial weights are drawn from libtorch's random state.
///
/// # Errors
/// Data that cannot be read, and options that the network does not have.
pub(crate) fn open(options: &Options, var_store: &VarStore) -> anyhow::Result<Box<dyn Workload>> {
    check(options)?;
    let (root, data) = (&var_store.root(), options.data.as_deref());
    Ok(match options.model {
        Model::Cnn => Box::new(Images::open(data, models::cnn(root), root.device())?),
        Model::Mlp => Box::new(Images::open(data, models::mlp(root), root.device())?),
        Model::Vgg11 => Box::new(Images::open(data, models::vgg11(root), root.device())?),
        Model::Resnet18 => Box::new(Images::open(data, models::resnet18(root, 64), root.device())?),
        Model::Resnet18Narrow => Box::new(Images::open(data, models::resnet18(root, 16), root.device())?),
        Model::Lstm => Box::new(Language::open(options, models::lstm, root)?),
        Model::Transformer => Box::new(Language::open(options, models::transformer, root)?),
        Model::Seq2seq => Box::new(Translation::open(options, root)?),
    })
}

fn check(options: &Options) -> anyhow::Result<()> {
    let is_language_model = matches!(options.model, Model::Lstm | Model::Transformer);
    let has_layers = is_language_model || options.model == Model::Seq2seq;
    ensure!(is_language_model || options.context.is_none(), "--context: expected with --model lstm or transformer");
    ensure!(has_layers || options.layers.is_none(), "--layers: expected with --model lstm, transformer or seq2seq");
    Ok(())
}

/// The data asked for, or what the project carries, seen from its root.
fn locate(asked: Option<&Path>, carried: &str, expected: &str) -> anyhow::Result<PathBuf> {
    let found = || Path::new(carried).exists().then(|| PathBuf::from(carried));
    asked.map(Path::to_owned).or_else(found).with_context(|| format!("there is no {carried} here: expected {expected}"))
}

/// Adds up what `measure` finds in each part of `n_examples` held-out ones, without keeping gradients.
fn sums<const N: usize>(n_examples: i64, measure: impl Fn(&Tensor) -> [f64; N]) -> [f64; N] {
    let _no_grad = tch::no_grad_guard();
    let examples = Tensor::arange(n_examples, (Kind::Int64, Device::Cpu)).split(EVALUATION_BATCH_SIZE, 0);
    examples.iter().map(measure).fold([0.0; N], |sums, found| std::array::from_fn(|index| sums[index] + found[index]))
}

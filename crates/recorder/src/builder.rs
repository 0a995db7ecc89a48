//! What to record and how to describe it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use epsiloscope_format::{
    DecayRates, GRADIENT, GradientDefinition, MagnitudePolicy, Manifest, Mode, OptimizerSettings, RunWriter,
    WriterOptions,
};
use epsiloscope_moments::{Decay, Optimizer};
use tch::Tensor;
use tch::nn::VarStore;

use crate::error::RecorderError;
use crate::recorder::{Quantities, Recorder};
use crate::watched::{Watched, trainable};
use crate::writer::{BackgroundWriter, Failure};

/// What `magnitudes` holds unless the builder is told otherwise: enough elements per tensor that the tails, which set
/// the bounds, hold some eighty of them each.
pub const DEFAULT_MAGNITUDES: MagnitudePolicy = MagnitudePolicy::Sample { elements_per_tensor: 4096, seed: 0 };

/// Describes a recording; made by [`Recorder::builder`], ended by [`start`](Self::start).
#[must_use]
pub struct RecorderBuilder<'a> {
    var_store: &'a VarStore,
    settings: OptimizerSettings,
    mode: Mode,
    magnitudes: MagnitudePolicy,
    histograms: bool,
    optimizers: Vec<Optimizer>,
    gradient: GradientDefinition,
    labels: BTreeMap<String, String>,
    writer_options: WriterOptions,
}

impl<'a> RecorderBuilder<'a> {
    pub(crate) fn new(var_store: &'a VarStore, settings: OptimizerSettings) -> Self {
        Self {
            var_store,
            settings,
            mode: Mode::Monitoring,
            magnitudes: DEFAULT_MAGNITUDES,
            histograms: true,
            optimizers: Optimizer::DEFAULT.to_vec(),
            gradient: GradientDefinition {
                accumulated_batches: 1,
                unscaled: false,
                clipped: false,
                coupled_weight_decay: 0.0,
            },
            labels: BTreeMap::new(),
            writer_options: WriterOptions::default(),
        }
    }

    /// Whether the weights will move; [`Mode::Monitoring`] unless said.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Which elements' values to record at every step; [`DEFAULT_MAGNITUDES`] unless said.
    pub fn magnitudes(mut self, policy: MagnitudePolicy) -> Self {
        self.magnitudes = policy;
        self
    }

    /// Whether to write every step's gradient histograms, which are counted anyway; `true` unless said.
    pub fn histograms(mut self, wanted: bool) -> Self {
        self.histograms = wanted;
        self
    }

    /// The optimizers whose critical ε is recorded at snapshots; all unless said. Each costs memory, see the crate's
    /// first page.
    pub fn critical_epsilon(mut self, optimizers: &[Optimizer]) -> Self {
        self.optimizers = optimizers.to_vec();
        self.optimizers.sort_unstable();
        self.optimizers.dedup();
        self
    }

    /// The coefficient w of the term w·p that the optimizer itself adds to the gradient of parameter p (L2
    /// regularisation; Adam and RMSprop, but not `AdamW`); it is added to what is recorded, too. 0 unless said.
    pub fn coupled_weight_decay(mut self, weight_decay: f64) -> Self {
        self.gradient.coupled_weight_decay = weight_decay;
        self
    }

    /// How many backward passes add up to one step; 1 unless said. For the manifest alone.
    pub fn accumulated_batches(mut self, n_batches: u32) -> Self {
        self.gradient.accumulated_batches = n_batches;
        self
    }

    /// Says that a loss scale is divided out before [`Recorder::step`] is called. For the manifest alone.
    pub fn unscaled(mut self, unscaled: bool) -> Self {
        self.gradient.unscaled = unscaled;
        self
    }

    /// Says that gradients are clipped before [`Recorder::step`] is called. For the manifest alone.
    pub fn clipped(mut self, clipped: bool) -> Self {
        self.gradient.clipped = clipped;
        self
    }

    /// Adds a label: model, data, seed, whatever tells this run from others.
    pub fn label(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }

    /// When buffered rows become part files.
    pub fn writer_options(mut self, options: WriterOptions) -> Self {
        self.writer_options = options;
        self
    }

    /// Makes the run directory and starts recording into it.
    ///
    /// # Errors
    /// [`RecorderError::NothingTrainable`] if no tensor requires a gradient, [`RecorderError::Format`] if the directory
    /// holds a run already or cannot be written, [`RecorderError::Thread`] if no thread can be had.
    pub fn start(self, dir: &Path) -> Result<Recorder, RecorderError> {
        let decay = self.decay();
        let watch = |named| Watched::new(named, self.magnitudes, &self.optimizers, decay);
        let tensors: Vec<Watched> = trainable(self.var_store).into_iter().map(watch).collect();
        if tensors.is_empty() {
            return Err(RecorderError::NothingTrainable);
        }
        let writer = RunWriter::create(dir, self.manifest(dir, &tensors), self.writer_options)?;
        let quantities = Quantities::new(writer.manifest(), &self.optimizers);
        let failure = Failure::default();
        let writer = BackgroundWriter::start(writer, Arc::clone(&failure))?;
        Ok(Recorder::new(tensors, self.weight_decay(), quantities, writer, failure))
    }

    fn decay(&self) -> Decay {
        let default = Decay::default();
        Decay {
            beta1: self.settings.beta1.unwrap_or(default.beta1),
            beta2: self.settings.beta2.unwrap_or(default.beta2),
        }
    }

    fn manifest(&self, dir: &Path, tensors: &[Watched]) -> Manifest {
        let framework = concat!("libtorch ", env!("LIBTORCH_VERSION")).to_owned();
        let Decay { beta1, beta2 } = self.decay();
        let critical_epsilons = self.optimizers.iter().map(|optimizer| optimizer.quantity());
        Manifest {
            gradient: self.gradient,
            magnitudes: self.magnitudes,
            histograms: self.histograms,
            quantities: critical_epsilons.chain([GRADIENT.to_owned()]).collect(),
            critical_epsilon_decay: (!self.optimizers.is_empty()).then_some(DecayRates { beta1, beta2 }),
            tensors: tensors.iter().map(Watched::info).collect(),
            labels: self.labels.clone(),
            ..Manifest::new(Manifest::name_from(dir), self.mode, self.settings.clone(), framework)
        }
    }

    /// A tensor without dimensions, where the parameters are; libtorch rounds it to the kind of what it meets.
    fn weight_decay(&self) -> Option<Tensor> {
        let weight_decay = self.gradient.coupled_weight_decay;
        (weight_decay != 0.0).then(|| Tensor::from(weight_decay).to_device(self.var_store.device()))
    }
}

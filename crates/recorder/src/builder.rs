//! What to record and how to describe it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    Cadence, CriticalEpsilonPolicy, GRADIENT, GradientDefinition, Gradients, MagnitudePolicy, Manifest, Mode,
    OptimizerSettings, Ranks, Resumption, RunWriter, StepRange, WriterOptions, now,
};
use epsiloscope_moments::{Decay, Moments, Optimizer};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::device::DeviceEngine;
use crate::engine::{Engine, EnginePlan, Quantities, RecordedElements, TensorPlan};
use crate::error::RecorderError;
use crate::host::HostEngine;
use crate::moments_file::MomentsFile;
use crate::recorder::{Recorder, StepOptions};
use crate::sampling::recorded_elements;
use crate::selection::Selection;
use crate::watched::{Preparation, Watched, trainable};
use crate::writer::{BackgroundWriter, Shared, WhenFull};

/// What `magnitudes` holds unless the builder is told otherwise: enough elements per tensor that the tails, which set
/// the bounds, hold some eighty of them each.
pub const DEFAULT_MAGNITUDES: MagnitudePolicy = MagnitudePolicy::Sample { elements_per_tensor: 4096, seed: 0 };

/// The part of a tensor that one rank has: so many of its elements, flattened, from `offset` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The first element.
    pub offset: i64,
    /// The shape of the whole tensor.
    pub shape: Vec<i64>,
}

/// Where gradients are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountOn {
    /// On the CPU if the model is there, on its device if not.
    #[default]
    Anywhere,
    /// On the CPU; gradients are copied there if they are elsewhere.
    Host,
    /// Where the model is, by libtorch operations, even on a CPU.
    Device,
}

/// Describes a recording; made by [`Recorder::builder`], ended by [`start`](Self::start) or [`resume`](Self::resume).
#[must_use]
pub struct RecorderBuilder<'a> {
    var_store: &'a VarStore,
    settings: OptimizerSettings,
    mode: Mode,
    magnitudes: MagnitudePolicy,
    signs: bool,
    histograms: bool,
    cadence: Cadence,
    selection: Selection,
    optimizers: Vec<Optimizer>,
    critical_epsilon_every_step: bool,
    snapshot_elements: Option<bool>,
    moments_from: Option<PathBuf>,
    gradient: GradientDefinition,
    is_scaled: bool,
    rank: u32,
    ranks: Ranks,
    shards: BTreeMap<String, Shard>,
    labels: BTreeMap<String, String>,
    when_full: WhenFull,
    count_on: CountOn,
    writer_options: WriterOptions,
}

impl<'a> RecorderBuilder<'a> {
    pub(crate) fn new(var_store: &'a VarStore, settings: OptimizerSettings) -> Self {
        Self {
            var_store,
            settings,
            mode: Mode::Monitoring,
            magnitudes: DEFAULT_MAGNITUDES,
            signs: true,
            histograms: true,
            cadence: Cadence::default(),
            selection: Selection::default(),
            optimizers: Optimizer::DEFAULT.to_vec(),
            critical_epsilon_every_step: false,
            snapshot_elements: None,
            moments_from: None,
            gradient: GradientDefinition {
                accumulated_batches: 1,
                unscaled: false,
                clipped: false,
                coupled_weight_decay: 0.0,
            },
            is_scaled: false,
            rank: 0,
            ranks: Ranks { world_size: 1, gradients: Gradients::Replicated },
            shards: BTreeMap::new(),
            labels: BTreeMap::new(),
            when_full: WhenFull::default(),
            count_on: CountOn::default(),
            writer_options: WriterOptions::default(),
        }
    }

    /// Whether the weights will move; [`Mode::Monitoring`] unless said.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Which elements' values to record at every recorded step; [`DEFAULT_MAGNITUDES`] unless said.
    pub fn magnitudes(mut self, policy: MagnitudePolicy) -> Self {
        self.magnitudes = policy;
        self
    }

    /// Whether recorded values keep their signs, without which AdaBelief and AdaMomentum cannot be replayed; `true`
    /// unless said.
    pub fn signs(mut self, kept: bool) -> Self {
        self.signs = kept;
        self
    }

    /// Whether to write every recorded step's gradient histograms, which are counted anyway; `true` unless said.
    pub fn histograms(mut self, wanted: bool) -> Self {
        self.histograms = wanted;
        self
    }

    /// Records every n-th step only, the first one included. The moments behind critical ε still take every step.
    pub fn every(mut self, n_steps: u64) -> Self {
        self.cadence.every = n_steps.max(1);
        self
    }

    /// Records the steps from `first` to `last` only, both included and counted from 1; called again, also those.
    pub fn steps(mut self, first: i64, last: Option<i64>) -> Self {
        self.cadence.ranges.push(StepRange { first, last });
        self
    }

    /// Records tensors whose name matches this pattern only, such as `conv*.weight`; called again, also those.
    pub fn include(mut self, pattern: &str) -> Self {
        self.selection.include(pattern);
        self
    }

    /// Leaves out tensors whose name matches this pattern, such as `*.bias`, even if included.
    pub fn exclude(mut self, pattern: &str) -> Self {
        self.selection.exclude(pattern);
        self
    }

    /// The optimizers whose critical ε is recorded at snapshots; [`Optimizer::DEFAULT`] unless said. Each costs memory, see
    /// the crate's first page.
    pub fn critical_epsilon(mut self, optimizers: &[Optimizer]) -> Self {
        self.optimizers = optimizers.to_vec();
        self.optimizers.sort_unstable();
        self.optimizers.dedup();
        self
    }

    /// Whether critical ε are binned at every recorded step, not at snapshots alone; `false` unless said.
    pub fn critical_epsilon_every_step(mut self, wanted: bool) -> Self {
        self.critical_epsilon_every_step = wanted;
        self
    }

    /// Whether [snapshots](crate::StepInfo::snapshot) hold the critical ε of every element, some 5 bytes each, beside their
    /// histogram; in a calibration they do unless said, as its bounds are then exact.
    pub fn snapshot_elements(mut self, wanted: bool) -> Self {
        self.snapshot_elements = Some(wanted);
        self
    }

    /// Goes on with the moments that [`Recorder::save_moments`] wrote.
    pub fn moments_from(mut self, path: impl Into<PathBuf>) -> Self {
        self.moments_from = Some(path.into());
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

    /// Says that gradients still carry [`StepInfo::loss_scale`](crate::StepInfo::loss_scale) when [`Recorder::step`] is
    /// called: the recorder divides it out of what it records.
    pub fn scaled_gradients(mut self, is_scaled: bool) -> Self {
        self.is_scaled = is_scaled;
        self.gradient.unscaled |= is_scaled;
        self
    }

    /// Says that gradients are clipped before [`Recorder::step`] is called. For the manifest alone.
    pub fn clipped(mut self, clipped: bool) -> Self {
        self.gradient.clipped = clipped;
        self
    }

    /// Says that this process is one of several with the same gradients (data parallel): rank 0 records them, the other
    /// ranks' recorders do nothing.
    pub fn replicated(mut self, rank: u32, world_size: u32) -> Self {
        self.rank = rank;
        self.ranks = Ranks { world_size, gradients: Gradients::Replicated };
        self
    }

    /// Says that this process is one of several, each with some elements of every gradient (sharded data parallel, tensor
    /// parallel): each records its own into the same run directory, and what they record adds up.
    ///
    /// `shards` says which part of which tensor this rank has, by the tensor's name; a tensor that is not named there is whole on
    /// this rank, and on this rank only.
    pub fn sharded(mut self, rank: u32, world_size: u32, shards: BTreeMap<String, Shard>) -> Self {
        self.rank = rank;
        self.ranks = Ranks { world_size, gradients: Gradients::Sharded };
        self.shards = shards;
        self
    }

    /// Adds a label: model, data, seed, whatever tells this run from others.
    pub fn label(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }

    /// What happens to a step while [`QUEUE_STEPS`](crate::QUEUE_STEPS) others wait for the disk.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Where gradients are counted.
    pub fn count_on(mut self, count_on: CountOn) -> Self {
        self.count_on = count_on;
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
    /// [`RecorderError::NothingTrainable`] if there is no tensor to record, [`RecorderError::Pattern`],
    /// [`RecorderError::Shard`] and [`RecorderError::Moments`] for what was asked for, [`RecorderError::Format`] if the
    /// directory holds a run already or cannot be written, [`RecorderError::Thread`] if no thread can be had.
    pub fn start(self, dir: &Path) -> Result<Recorder, RecorderError> {
        let plan = self.plan(dir)?;
        let writer = if self.is_recording() {
            let manifest = plan.manifest.clone();
            Some(RunWriter::create_on(Arc::new(Disk), dir, self.rank, manifest, self.writer_options)?)
        } else {
            None
        };
        self.begin(plan, writer, 0)
    }

    /// Takes up an interrupted run: the next call of [`Recorder::step`] is step `after_step` + 1. What had been recorded of
    /// later steps is set aside.
    ///
    /// Training goes on from a checkpoint taken after `after_step` steps. Without [`moments_from`](Self::moments_from) the
    /// moments behind critical ε begin again from zero, which the run says of itself.
    ///
    /// # Errors
    /// As for [`start`](Self::start), and [`RecorderError::Format`] if the run there is another one.
    pub fn resume(self, dir: &Path, after_step: i64) -> Result<Recorder, RecorderError> {
        let plan = self.plan(dir)?;
        let writer = if self.is_recording() {
            let moments_restored = self.moments_from.is_some() || self.optimizers.is_empty();
            let at = Resumption { after_step, at: now(), moments_restored };
            Some(RunWriter::resume_on(Arc::new(Disk), dir, self.rank, &plan.manifest, at, self.writer_options)?)
        } else {
            None
        };
        self.begin(plan, writer, after_step)
    }

    fn begin(self, plan: Plan, writer: Option<RunWriter>, after_step: i64) -> Result<Recorder, RecorderError> {
        let shared = Arc::new(Shared::default());
        let options = self.step_options();
        let Plan { tensors, engine, moments, .. } = plan;
        let device = tensors.first().map_or(Device::Cpu, Watched::device);
        let on_host = match self.count_on {
            CountOn::Anywhere => device == Device::Cpu,
            CountOn::Host => true,
            CountOn::Device => false,
        };
        let engine: Box<dyn Engine> = if on_host {
            Box::new(HostEngine::new(engine, moments))
        } else {
            Box::new(DeviceEngine::new(engine, &moments, device))
        };
        let writer = match writer {
            Some(writer) => BackgroundWriter::start(writer, self.when_full, Arc::clone(&shared))?,
            None => BackgroundWriter::absent(),
        };
        let preparation = Preparation { weight_decay: self.weight_decay(), inverse_scale: None };
        Ok(Recorder { tensors, engine, preparation, options, steps: after_step, writer, shared })
    }

    /// Of replicated gradients one rank is enough.
    fn is_recording(&self) -> bool {
        self.rank < self.ranks.n_recording()
    }

    fn step_options(&self) -> StepOptions {
        StepOptions {
            cadence: self.cadence.clone(),
            has_moments: !self.optimizers.is_empty(),
            critical_epsilon_every_step: self.critical_epsilon_every_step,
            snapshot_elements: self.has_snapshot_elements(),
            is_scaled: self.is_scaled,
            is_recording: self.is_recording(),
        }
    }

    fn has_snapshot_elements(&self) -> bool {
        self.snapshot_elements.unwrap_or(self.mode == Mode::Calibration)
    }

    fn plan(&self, dir: &Path) -> Result<Plan, RecorderError> {
        let selection = self.selection.compiled()?;
        let mut found = trainable(self.var_store);
        found.retain(|(name, _)| selection.admits(name));
        if found.is_empty() {
            let hint = if self.selection.is_everything() { "" } else { ", and patterns that match some of its names" };
            return Err(RecorderError::NothingTrainable { hint });
        }
        let (mut tensors, mut plans) = (Vec::new(), Vec::new());
        for (name, parameter) in found {
            let shard = self.shards.get(&name);
            if let Some(shard) = shard {
                shard.check(&name, parameter.numel())?;
            }
            let (plan, n_recorded) = self.tensor_plan(&name, parameter.numel(), shard);
            plans.push(plan);
            tensors.push(Watched::new((name, parameter), shard, n_recorded));
        }
        let manifest = self.manifest(dir, &tensors);
        let quantities = quantities(&manifest, &self.optimizers);
        let moments = self.moments(&tensors, &plans)?;
        let engine = EnginePlan { tensors: plans, quantities };
        Ok(Plan { tensors, engine, moments, manifest })
    }

    /// What this rank records of a tensor, and how many elements of the whole tensor are recorded.
    fn tensor_plan(&self, name: &str, numel: usize, shard: Option<&Shard>) -> (TensorPlan, u64) {
        let offset = shard.map_or(0, |shard| shard.offset);
        let whole = shard.map_or(numel, |shard| shard.shape.iter().product::<i64>() as usize);
        let plan = |elements| TensorPlan { numel, offset, elements };
        if self.magnitudes.is_complete(whole as u64) {
            return (plan(RecordedElements::All), whole as u64);
        }
        let all = recorded_elements(self.magnitudes, name, whole);
        let own = offset..offset + numel as i64;
        let own = all.iter().filter(|&element| own.contains(element)).map(|element| element - offset);
        (plan(RecordedElements::Listed(own.collect())), all.len() as u64)
    }

    fn moments(&self, tensors: &[Watched], plans: &[TensorPlan]) -> Result<Vec<Vec<Moments>>, RecorderError> {
        let decay = self.decay();
        let file = self.moments_from.as_deref().map(MomentsFile::open).transpose()?;
        let of_tensor = |(tensor, plan): (&Watched, &TensorPlan)| {
            let of_optimizer = |&optimizer: &Optimizer| match &file {
                Some(file) => file.moments(&tensor.name, optimizer, decay, plan.numel),
                None => Ok(Moments::new(optimizer, decay, plan.numel)),
            };
            self.optimizers.iter().map(of_optimizer).collect()
        };
        if !self.is_recording() {
            return Ok(tensors.iter().map(|_| Vec::new()).collect());
        }
        tensors.iter().zip(plans).map(of_tensor).collect()
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
        let critical_epsilon = CriticalEpsilonPolicy {
            beta1,
            beta2,
            every_step: self.critical_epsilon_every_step,
            elements: self.has_snapshot_elements(),
        };
        let mut quantities: Vec<String> = self.optimizers.iter().map(|optimizer| optimizer.quantity()).collect();
        quantities.push(GRADIENT.to_owned());
        quantities.sort();
        Manifest {
            gradient: self.gradient,
            magnitudes: self.magnitudes,
            signs: self.signs,
            histograms: self.histograms,
            cadence: self.cadence.clone(),
            quantities,
            critical_epsilon: (!self.optimizers.is_empty()).then_some(critical_epsilon),
            tensors: tensors.iter().map(Watched::info).collect(),
            ranks: self.ranks,
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

/// What a builder comes to.
struct Plan {
    tensors: Vec<Watched>,
    engine: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<Moments>>,
    manifest: Manifest,
}

/// # Panics
/// If the manifest lacks a quantity.
fn quantities(manifest: &Manifest, optimizers: &[Optimizer]) -> Quantities {
    let index = |name: &str| {
        let found = manifest.quantities.iter().position(|quantity| quantity == name);
        found.expect("the manifest lists every quantity that is recorded")
    };
    let critical_epsilon = optimizers.iter().map(|optimizer| index(&optimizer.quantity())).collect();
    Quantities { gradient: index(GRADIENT), critical_epsilon }
}

//! What to record and how to describe it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use epsiloscope_format::fs::FileSystem;
use epsiloscope_format::{
    Gradients, MagnitudePolicy, Mode, OptimizerSettings, Ranks, RunWriter, StepRange, WriterOptions,
};
use epsiloscope_moments::Optimizer;
use epsiloscope_recording::{Description, Shard, Shared, WhenFull};
use tch::Device;
use tch::nn::VarStore;

use crate::device::DeviceEngine;
use crate::engine::Engine;
use crate::error::RecorderError;
use crate::host::HostEngine;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::watched::{Preparation, Watched};

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
    pub(crate) var_store: &'a VarStore,
    pub(crate) description: Description,
    pub(crate) moments_from: Option<PathBuf>,
    pub(crate) is_scaled: bool,
    pub(crate) count_on: CountOn,
}

impl<'a> RecorderBuilder<'a> {
    pub(crate) fn new(var_store: &'a VarStore, settings: OptimizerSettings) -> Self {
        let framework = concat!("libtorch ", env!("LIBTORCH_VERSION")).to_owned();
        let description = Description::new(settings, framework);
        Self { var_store, description, moments_from: None, is_scaled: false, count_on: CountOn::default() }
    }

    /// Whether the weights will move; [`Mode::Monitoring`] unless said.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.description.mode = mode;
        self
    }

    /// Which elements' values to record at every recorded step; [`DEFAULT_MAGNITUDES`](crate::DEFAULT_MAGNITUDES) unless said.
    pub fn magnitudes(mut self, policy: MagnitudePolicy) -> Self {
        self.description.magnitudes = policy;
        self
    }

    /// Whether recorded values keep their signs, without which AdaBelief and AdaMomentum cannot be replayed; `true`
    /// unless said.
    pub fn signs(mut self, kept: bool) -> Self {
        self.description.signs = kept;
        self
    }

    /// Whether to write every recorded step's gradient histograms, which are counted anyway; `true` unless said.
    pub fn histograms(mut self, wanted: bool) -> Self {
        self.description.histograms = wanted;
        self
    }

    /// Records every n-th step only, the first one included. The moments behind critical ε still take every step.
    pub fn every(mut self, n_steps: u64) -> Self {
        self.description.cadence.every = n_steps.max(1);
        self
    }

    /// Records the steps from `first` to `last` only, both included and counted from 1; called again, also those.
    pub fn steps(mut self, first: i64, last: Option<i64>) -> Self {
        self.description.cadence.ranges.push(StepRange { first, last });
        self
    }

    /// Records tensors whose name matches this pattern only, such as `conv*.weight`; called again, also those.
    pub fn include(mut self, pattern: &str) -> Self {
        self.description.selection.include(pattern);
        self
    }

    /// Leaves out tensors whose name matches this pattern, such as `*.bias`, even if included. Of a tensor with several names
    /// patterns see the first.
    pub fn exclude(mut self, pattern: &str) -> Self {
        self.description.selection.exclude(pattern);
        self
    }

    /// The optimizers whose critical ε is recorded at snapshots; [`Optimizer::DEFAULT`] unless said. Each costs memory, see
    /// the crate's first page.
    pub fn critical_epsilon(mut self, optimizers: &[Optimizer]) -> Self {
        self.description.optimizers = optimizers.to_vec();
        self.description.optimizers.sort_unstable();
        self.description.optimizers.dedup();
        self
    }

    /// Whether critical ε are binned at every recorded step, not at snapshots alone; `false` unless said.
    pub fn critical_epsilon_every_step(mut self, wanted: bool) -> Self {
        self.description.critical_epsilon_every_step = wanted;
        self
    }

    /// Whether [snapshots](crate::StepInfo::snapshot) hold the critical ε of every element, some 5 bytes each, beside their
    /// histogram; in a calibration they do unless said, as its bounds are then exact.
    pub fn snapshot_elements(mut self, wanted: bool) -> Self {
        self.description.snapshot_elements = Some(wanted);
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
        self.description.gradient.coupled_weight_decay = weight_decay;
        self
    }

    /// How many backward passes add up to one step; 1 unless said. For the manifest alone.
    pub fn accumulated_batches(mut self, n_batches: u32) -> Self {
        self.description.gradient.accumulated_batches = n_batches;
        self
    }

    /// Says that a loss scale is divided out before [`Recorder::step`] is called. For the manifest alone.
    pub fn unscaled(mut self, unscaled: bool) -> Self {
        self.description.gradient.unscaled = unscaled;
        self
    }

    /// Says that gradients still carry [`StepInfo::loss_scale`](crate::StepInfo::loss_scale) when [`Recorder::step`] is
    /// called: the recorder divides it out of what it records.
    pub fn scaled_gradients(mut self, is_scaled: bool) -> Self {
        self.is_scaled = is_scaled;
        self.description.gradient.unscaled |= is_scaled;
        self
    }

    /// Says that gradients are clipped before [`Recorder::step`] is called. For the manifest alone.
    pub fn clipped(mut self, clipped: bool) -> Self {
        self.description.gradient.clipped = clipped;
        self
    }

    /// Says that this process is one of several with the same gradients (data parallel): rank 0 records them, the other
    /// ranks' recorders do nothing.
    pub fn replicated(mut self, rank: u32, world_size: u32) -> Self {
        self.description.rank = rank;
        self.description.ranks = Ranks { world_size, gradients: Gradients::Replicated };
        self
    }

    /// Says that this process is one of several, each with some elements of every gradient (sharded data parallel, tensor
    /// parallel): each records its own into the same run directory, and what they record adds up.
    ///
    /// `shards` says which part of which tensor this rank has, by the tensor's name; a tensor that is not named there is the
    /// same on every rank, and rank 0 records it. Every rank has all tensors by name, some perhaps without elements.
    pub fn sharded(mut self, rank: u32, world_size: u32, shards: BTreeMap<String, Shard>) -> Self {
        self.description.rank = rank;
        self.description.ranks = Ranks { world_size, gradients: Gradients::Sharded };
        self.description.shards = shards;
        self
    }

    /// Adds a label: model, data, seed, whatever tells this run from others.
    pub fn label(mut self, key: &str, value: impl Into<String>) -> Self {
        self.description.labels.insert(key.to_owned(), value.into());
        self
    }

    /// What happens to a step while [`QUEUE_STEPS`](crate::QUEUE_STEPS) others wait for the disk.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.description.when_full = when_full;
        self
    }

    /// How long [`Recorder::flush`] and [`Recorder::finish`] wait for a disk that takes nothing, a day at most;
    /// [`FINISH_PATIENCE`](crate::FINISH_PATIENCE) unless said. Dropping the recorder waits as long, but never longer than
    /// [`DROP_PATIENCE`](crate::DROP_PATIENCE).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.description.patience = patience.min(Duration::from_hours(24));
        self
    }

    /// Where gradients are counted.
    pub fn count_on(mut self, count_on: CountOn) -> Self {
        self.count_on = count_on;
        self
    }

    /// Where files are written; the disk unless said. For tests of what happens when it fails.
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.description.file_system = file_system;
        self
    }

    /// When buffered rows become part files.
    pub fn writer_options(mut self, options: WriterOptions) -> Self {
        self.description.writer_options = options;
        self
    }

    /// Makes the run directory and starts recording into it.
    ///
    /// # Errors
    /// [`RecorderError::NothingTrainable`] if there is no tensor to record, [`RecorderError::Pattern`],
    /// [`RecorderError::Shard`] and [`RecorderError::Moments`] for what was asked for, [`RecorderError::Format`] if the
    /// directory holds a run already or cannot be written, [`RecorderError::Thread`] if no thread can be had.
    pub fn start(self, dir: &Path) -> Result<Recorder, RecorderError> {
        let plan = self.plan(dir, None)?;
        let writer = self.description.create(dir, plan.manifest.clone())?;
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
        let plan = self.plan(dir, Some(after_step))?;
        let moments_restored = self.moments_from.is_some() || self.description.optimizers.is_empty();
        let writer = self.description.resume(dir, &plan.manifest, after_step, moments_restored)?;
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
        let writer = self.description.in_background(writer, &shared)?;
        let preparation = Preparation { weight_decay: self.weight_decay(), inverse_scale: None };
        Ok(Recorder { tensors, engine, preparation, options, steps: after_step, writer, shared })
    }
}

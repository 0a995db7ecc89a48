//! What is to be recorded, before anything is known of the tensors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use epsiloscope_format::fs::{Disk, FileSystem};
use epsiloscope_format::{
    Cadence, GradientDefinition, Gradients, MagnitudePolicy, Manifest, Mode, OptimizerSettings, Ranks, Resumption,
    RunWriter, WriterOptions, now,
};
use epsiloscope_moments::{Decay, Optimizer};

use crate::error::{FrameworkError, RecordingError};
use crate::selection::Selection;
use crate::writer::{BackgroundWriter, FINISH_PATIENCE, Shared, WhenFull};

/// What `magnitudes` holds unless a recorder is told otherwise: enough elements per tensor that the tails, which set
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

/// Everything that is asked of a recording; [`new`](Self::new) has the defaults.
#[derive(Clone)]
pub struct Description {
    /// Of the training loop's optimizer. Its β1 and β2 are also the decay rates behind every critical ε.
    pub settings: OptimizerSettings,
    /// What computes the gradients, and its version.
    pub framework: String,
    /// Whether the weights will move.
    pub mode: Mode,
    /// Which elements' values to record at every recorded step.
    pub magnitudes: MagnitudePolicy,
    /// Whether recorded values keep their signs.
    pub signs: bool,
    /// Whether to write every recorded step's gradient histograms, which are counted anyway.
    pub histograms: bool,
    /// The steps to record.
    pub cadence: Cadence,
    /// The tensors to record.
    pub selection: Selection,
    /// Whose critical ε are recorded, ascending.
    pub optimizers: Vec<Optimizer>,
    /// Whether critical ε are binned at every recorded step, not at snapshots alone.
    pub critical_epsilon_every_step: bool,
    /// Whether snapshots hold the critical ε of every element; where it is not said, in a calibration.
    pub snapshot_elements: Option<bool>,
    /// What gradients went through before they are read.
    pub gradient: GradientDefinition,
    /// This process.
    pub rank: u32,
    /// All of them.
    pub ranks: Ranks,
    /// What this rank has of which tensor; of one that is not named here all, as every rank has.
    pub shards: BTreeMap<String, Shard>,
    /// Whatever tells this run from others.
    pub labels: BTreeMap<String, String>,
    /// What happens to a step while the queue is full.
    pub when_full: WhenFull,
    /// How long flushing and finishing wait for a disk that takes nothing.
    pub patience: Duration,
    /// Where files are written.
    pub file_system: Arc<dyn FileSystem>,
    /// When buffered rows become part files.
    pub writer_options: WriterOptions,
}

impl Description {
    /// A recording of every step and tensor by a single process.
    pub fn new(settings: OptimizerSettings, framework: String) -> Self {
        Self {
            settings,
            framework,
            mode: Mode::Monitoring,
            magnitudes: DEFAULT_MAGNITUDES,
            signs: true,
            histograms: true,
            cadence: Cadence::default(),
            selection: Selection::default(),
            optimizers: Optimizer::DEFAULT.to_vec(),
            critical_epsilon_every_step: false,
            snapshot_elements: None,
            gradient: GradientDefinition {
                accumulated_batches: 1,
                unscaled: false,
                clipped: false,
                coupled_weight_decay: 0.0,
            },
            rank: 0,
            ranks: Ranks { world_size: 1, gradients: Gradients::Replicated },
            shards: BTreeMap::new(),
            labels: BTreeMap::new(),
            when_full: WhenFull::default(),
            patience: FINISH_PATIENCE,
            file_system: Arc::new(Disk),
            writer_options: WriterOptions::default(),
        }
    }

    /// Whether this rank records anything: of replicated gradients one rank is enough.
    pub fn is_recording(&self) -> bool {
        self.rank < self.ranks.n_recording()
    }

    /// Whether snapshots hold the critical ε of every element.
    pub fn has_snapshot_elements(&self) -> bool {
        self.snapshot_elements.unwrap_or(self.mode == Mode::Calibration)
    }

    /// The decay rates behind critical ε: the optimizer's where it has them, or else 0.9 and 0.999.
    pub fn decay(&self) -> Decay {
        let default = Decay::default();
        Decay {
            beta1: self.settings.beta1.unwrap_or(default.beta1),
            beta2: self.settings.beta2.unwrap_or(default.beta2),
        }
    }

    /// Makes the run directory; nothing for a rank that does not record.
    ///
    /// # Errors
    /// [`RecordingError::Format`] if the directory holds a run already or cannot be written.
    pub fn create<F: FrameworkError>(
        &self,
        dir: &Path,
        manifest: Manifest,
    ) -> Result<Option<RunWriter>, RecordingError<F>> {
        if !self.is_recording() {
            return Ok(None);
        }
        Ok(Some(RunWriter::create_on(Arc::clone(&self.file_system), dir, self.rank, manifest, self.writer_options)?))
    }

    /// Takes up the run in a directory after a step; nothing for a rank that does not record.
    ///
    /// # Errors
    /// [`RecordingError::Format`] if the run there is another one, is being recorded, or cannot be read or written.
    pub fn resume<F: FrameworkError>(
        &self,
        dir: &Path,
        manifest: &Manifest,
        after_step: i64,
        moments_restored: bool,
    ) -> Result<Option<RunWriter>, RecordingError<F>> {
        if !self.is_recording() {
            return Ok(None);
        }
        let at = Resumption { after_step, at: now(), moments_restored };
        Ok(Some(RunWriter::resume_on(
            Arc::clone(&self.file_system),
            dir,
            self.rank,
            manifest,
            at,
            self.writer_options,
        )?))
    }

    /// Gives the writer a thread of its own.
    ///
    /// # Errors
    /// [`RecordingError::Thread`] if none can be had.
    pub fn in_background<F: FrameworkError>(
        &self,
        writer: Option<RunWriter>,
        shared: &Arc<Shared<F>>,
    ) -> Result<BackgroundWriter<F>, RecordingError<F>> {
        match writer {
            Some(writer) => BackgroundWriter::start(writer, self.when_full, self.patience, Arc::clone(shared)),
            None => Ok(BackgroundWriter::absent()),
        }
    }
}

impl Shard {
    /// Checks that a local tensor of so many elements fits.
    ///
    /// # Errors
    /// [`RecordingError::Shard`] if it does not.
    pub fn check<F: FrameworkError>(&self, tensor: &str, local: usize) -> Result<(), RecordingError<F>> {
        let numel = self.shape.iter().product();
        let end = self.offset + local as i64;
        if 0 <= self.offset && end <= numel {
            return Ok(());
        }
        Err(RecordingError::Shard { tensor: tensor.to_owned(), first: self.offset, end, numel })
    }
}

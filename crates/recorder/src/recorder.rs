//! The recorder in the training loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use epsiloscope_format::{Cadence, Losses, OptimizerSettings, StepRecord, StepScalars};
use epsiloscope_recording::{BackgroundWriter, Shared, Wanted};
use tch::nn::VarStore;
use tch::{TchError, Tensor};

use crate::builder::RecorderBuilder;
use crate::engine::Engine;
use crate::error::RecorderError;
use crate::moments_file;
use crate::watched::{Preparation, Watched};

/// What the training loop knows of a step and the recorder does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepInfo<'a> {
    /// Pass over the data, counted from 1.
    pub epoch: Option<i32>,
    /// The loss.
    pub loss: Option<f64>,
    /// The learning rate of this step.
    pub learning_rate: Option<f64>,
    /// The loss scale: with [`RecorderBuilder::scaled_gradients`] the gradients still carry it. With a loss scale, a
    /// step whose gradients are not all finite is marked as an overflow and does not reach the moments, as the
    /// optimizer skips it.
    pub loss_scale: Option<f64>,
    /// Whether the optimizer skips this step because gradients overflowed, where the loop knows; unless said, gradients
    /// are looked through at steps with a loss scale. With shards say it: one rank does not see another's gradients.
    pub overflow: Option<bool>,
    /// Whether to record the critical ε of every element after this step: at the end of each epoch, say.
    pub snapshot: bool,
    /// Anything else worth a number: test accuracy, gradient norm.
    pub scalars: &'a [(&'a str, f64)],
}

/// How a recording goes.
#[derive(Clone, Debug)]
pub struct Health {
    /// Steps that [`Recorder::step`] was called for, those before a resumption included.
    pub steps: i64,
    /// Steps that were to be recorded and could not be kept.
    pub dropped_steps: u64,
    /// Whether nothing is recorded any more.
    pub has_stopped: bool,
    /// The first thing that went wrong.
    pub fault: Option<String>,
}

/// Records a training run; made by [`Recorder::builder`].
///
/// Dropped without [`finish`](Self::finish), it writes what it has and leaves the run marked `running`, readable up to
/// its last step.
pub struct Recorder {
    pub(crate) tensors: Vec<Watched>,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) preparation: Preparation,
    pub(crate) options: StepOptions,
    /// Steps taken.
    pub(crate) steps: i64,
    pub(crate) writer: BackgroundWriter<TchError>,
    pub(crate) shared: Arc<Shared<TchError>>,
}

/// What is recorded of which steps.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct StepOptions {
    pub(crate) cadence: Cadence,
    /// Whether there are moments to be kept.
    pub(crate) has_moments: bool,
    /// Whether critical ε are binned at every recorded step, not at snapshots alone.
    pub(crate) critical_epsilon_every_step: bool,
    /// Whether snapshots hold the values of every element.
    pub(crate) snapshot_elements: bool,
    /// Whether gradients carry the step's loss scale.
    pub(crate) is_scaled: bool,
    /// Whether this rank records anything at all.
    pub(crate) is_recording: bool,
}

impl Recorder {
    /// Begins to describe a recording of the trainable tensors of `var_store`.
    ///
    /// `settings` are those of the training loop's optimizer. Their β1 and β2 are also the decay rates behind every
    /// critical ε; where they are `None`, 0.9 and 0.999.
    pub fn builder(var_store: &VarStore, settings: OptimizerSettings) -> RecorderBuilder<'_> {
        RecorderBuilder::new(var_store, settings)
    }

    /// Records the gradients as they are now. Call it once per optimizer step, right before that step.
    ///
    /// A tensor without gradient is left out of this step, as the optimizer leaves it out. Never fails and never
    /// panics: what goes wrong, [`health`](Self::health) tells.
    pub fn step(&mut self, info: &StepInfo<'_>) {
        self.steps += 1;
        let shared = Arc::clone(&self.shared);
        if !self.options.is_recording || shared.has_stopped.load(Ordering::Relaxed) {
            return;
        }
        match shared.contain(|| self.record(info)) {
            Some(Some(record)) => self.writer.send(record),
            Some(None) => {}
            None => self.writer.close(),
        }
    }

    /// How the recording goes. Problems with files show some steps after they happened.
    pub fn health(&self) -> Health {
        Health {
            steps: self.steps,
            dropped_steps: self.shared.dropped_steps.load(Ordering::Relaxed),
            has_stopped: self.shared.has_stopped.load(Ordering::Relaxed),
            fault: self.shared.fault.get().map(ToString::to_string),
        }
    }

    /// The first thing that went wrong, if anything did. A failing disk is tried again; anything else ends the recording.
    pub fn failure(&self) -> Option<&RecorderError> {
        self.shared.fault.get()
    }

    /// Steps taken so far, those before a resumption included.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    /// Records numbers that belong to the last step but were not known then, such as a test accuracy at the end of an
    /// epoch.
    pub fn scalars(&mut self, scalars: &[(&str, f64)]) {
        let scalars = scalars.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        self.writer.send_scalars(self.steps, scalars);
    }

    /// Waits until every step so far is on disk, or the disk has refused it, or the recorder's
    /// [patience](RecorderBuilder::patience) is at its end: worth calling where the training saves a checkpoint, so that no
    /// step before it can be lost.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    /// Writes the moments behind critical ε to a safetensors file, to be given to [`RecorderBuilder::moments_from`]. Save
    /// them where the training saves its checkpoint; each shard's rank to a file of its own. A rank that records nothing writes
    /// nothing.
    ///
    /// # Errors
    /// [`RecorderError::Moments`] if the file cannot be written.
    pub fn save_moments(&self, path: &Path) -> Result<(), RecorderError> {
        if !self.options.is_recording {
            return Ok(());
        }
        let moments = self.engine.moments().map_err(RecorderError::Count)?;
        let names = self.tensors.iter().map(|tensor| tensor.name.clone());
        moments_file::write(path, self.steps, names.zip(moments).collect())
    }

    /// Writes what is left, marks the run finished, and says what could not be kept.
    ///
    /// # Errors
    /// Why recording ended early, or why the end could not be written; what was complete stays readable.
    pub fn finish(self) -> Result<Losses, RecorderError> {
        let Self { mut writer, shared, .. } = self;
        let losses = writer.finish()?;
        drop(writer);
        // The writer's thread has ended, so this is the only owner.
        let fault = || Arc::into_inner(shared).and_then(|shared| shared.fault.into_inner());
        losses.ok_or_else(|| fault().unwrap_or(RecorderError::Ended))
    }

    fn record(&mut self, info: &StepInfo<'_>) -> Result<Option<StepRecord>, RecorderError> {
        let is_recorded = info.snapshot || self.options.cadence.includes(self.steps);
        if !is_recorded && !self.options.has_moments {
            return Ok(None);
        }
        // A guard, not `tch::no_grad`, which would leave gradients switched off after a panic.
        let _no_grad = tch::no_grad_guard();
        let time_micros = micros_since_epoch();
        let scale = info.loss_scale.filter(|_| self.options.is_scaled);
        // Rounded to a float before it multiplies, as PyTorch's GradScaler has it.
        self.preparation.inverse_scale = scale.map(|scale| f64::from((1.0 / scale) as f32));
        let gradients: Result<Vec<Option<Tensor>>, _> =
            self.tensors.iter().map(|tensor| tensor.gradient(&self.preparation)).collect();
        let gradients = gradients?;
        let overflow = match (info.overflow, info.loss_scale) {
            (Some(overflow), _) => overflow,
            (None, Some(_)) => !all_finite(&gradients).map_err(RecorderError::Count)?,
            (None, None) => false,
        };
        let wanted = self.wanted(info, is_recorded, overflow);
        let taken = self.engine.take(&gradients, wanted);
        taken.map_err(|(index, source)| self.torch_fault(index, source))?;
        if !is_recorded {
            return Ok(None);
        }
        let mut observations = self.engine.collect().map_err(RecorderError::Count)?;
        observations.sort_by_key(|observation| (observation.tensor, observation.quantity));
        let StepInfo { epoch, loss, learning_rate, loss_scale, scalars, .. } = *info;
        let user_scalars = scalars.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let scalars = StepScalars { epoch, time_micros, loss, learning_rate, loss_scale, overflow };
        Ok(Some(StepRecord { step: self.steps, scalars, user_scalars, observations }))
    }

    fn wanted(&self, info: &StepInfo<'_>, is_recorded: bool, overflow: bool) -> Wanted {
        let moments = self.options.has_moments && !overflow;
        let critical_epsilon = info.snapshot || self.options.critical_epsilon_every_step;
        Wanted {
            gradient: is_recorded,
            moments,
            critical_epsilon: is_recorded && self.options.has_moments && critical_epsilon,
            elements: info.snapshot && self.options.snapshot_elements,
        }
    }

    fn torch_fault(&self, index: usize, source: TchError) -> RecorderError {
        RecorderError::Torch { tensor: self.tensors[index].name.clone(), source }
    }
}

/// Asks the device once.
fn all_finite(gradients: &[Option<Tensor>]) -> Result<bool, TchError> {
    let each: Result<Vec<Tensor>, TchError> =
        gradients.iter().flatten().map(|gradient| gradient.f_isfinite()?.f_all()).collect();
    let each = each?;
    Ok(each.is_empty() || Tensor::f_stack(&each, 0)?.f_all()?.f_int64_value(&[])? != 0)
}

/// A label of the step; a clock set before 1970 gives 0.
fn micros_since_epoch() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as i64)
}

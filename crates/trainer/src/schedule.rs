//! Which steps a run has, and which of them are recorded.

use epsiloscope_format::Cadence;
use epsiloscope_recorder::Mode;

use crate::args::Recording;

/// The steps of a run, counted from 1.
pub(crate) struct Schedule {
    /// Those of all epochs, or as many as were asked for.
    pub(crate) n_steps: i64,
    steps_per_epoch: i64,
    snapshot_every: Option<i64>,
    is_training: bool,
    cadence: Cadence,
}

impl Schedule {
    pub(crate) fn new(recording: &Recording, n_examples: i64) -> Self {
        let options = recording.options();
        let n_batches = (n_examples as u64).div_ceil(options.training.batch_size as u64);
        let steps_per_epoch = n_batches.div_ceil(options.training.gradient_accumulation.into()) as i64;
        let all = i64::from(options.training.epochs) * steps_per_epoch;
        Self {
            n_steps: options.training.steps.map_or(all, |steps| steps.min(all)),
            steps_per_epoch: steps_per_epoch.max(1),
            snapshot_every: options.recording.snapshot_every,
            is_training: recording.mode() == Mode::Monitoring,
            cadence: options.recording.cadence(),
        }
    }

    /// The epoch of a step, counted from 1.
    pub(crate) fn epoch(&self, step: i64) -> i32 {
        ((step - 1) / self.steps_per_epoch + 1) as i32
    }

    pub(crate) fn begins_epoch(&self, step: i64) -> bool {
        (step - 1) % self.steps_per_epoch == 0
    }

    fn ends_epoch(&self, step: i64) -> bool {
        step % self.steps_per_epoch == 0 || step == self.n_steps
    }

    /// Whether held-out data are looked at after a step.
    pub(crate) fn is_evaluated(&self, step: i64) -> bool {
        self.is_training && self.ends_epoch(step)
    }

    pub(crate) fn is_snapshot(&self, step: i64) -> bool {
        self.ends_epoch(step) || self.snapshot_every.is_some_and(|every| step % every == 0)
    }

    /// Whether anything is recorded of a step.
    pub(crate) fn is_recorded(&self, step: i64) -> bool {
        self.is_snapshot(step) || self.cadence.includes(step)
    }

    pub(crate) fn n_recorded(&self) -> u64 {
        (1..=self.n_steps).filter(|&step| self.is_recorded(step)).count() as u64
    }
}

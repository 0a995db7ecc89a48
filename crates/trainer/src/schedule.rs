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

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    /// The schedule of a command over ten examples.
    pub(crate) fn schedule(words: &str) -> Schedule {
        let words = ["epsiloscope-record"].into_iter().chain(words.split(' '));
        let Command::Record(recording) = Args::parse_from(words).command else { panic!("not a recording") };
        Schedule::new(&recording, 10)
    }

    fn steps(schedule: &Schedule, is_meant: impl Fn(&Schedule, i64) -> bool) -> Vec<i64> {
        (1..=schedule.n_steps).filter(|&step| is_meant(schedule, step)).collect()
    }

    #[test]
    fn epochs_end_with_what_is_left() {
        // Four batches of 3, 3, 3, 1 make two steps.
        let whole = schedule("train --out run --batch-size 3 --gradient-accumulation 3 --epochs 3");
        assert_eq!(whole.n_steps, 6);
        assert_eq!((1..=6).map(|step| whole.epoch(step)).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
        assert_eq!(steps(&whole, Schedule::begins_epoch), [1, 3, 5]);
        let cut = schedule("train --out run --batch-size 2 --epochs 3 --steps 7");
        assert_eq!(steps(&cut, Schedule::is_evaluated), [5, 7]);
    }

    #[test]
    fn snapshots_are_recorded_outside_the_cadence() {
        let cadence = "--batch-size 1 --every 4 --record-steps 2-7 --snapshot-every 3";
        let schedule = schedule(&format!("calibrate --out run {cadence}"));
        assert_eq!(steps(&schedule, Schedule::is_snapshot), [3, 6, 9, 10]);
        assert_eq!(steps(&schedule, Schedule::is_recorded), [2, 3, 6, 9, 10]);
        assert_eq!((schedule.n_recorded(), steps(&schedule, Schedule::is_evaluated)), (5, vec![]));
    }
}

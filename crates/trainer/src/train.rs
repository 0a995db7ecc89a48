//! `calibrate` and `train`: a run from its first step to its last, and what is told of it.

use std::process::ExitCode;

use epsiloscope_format::escaped;
use epsiloscope_recorder::{Losses, RecorderError};

use crate::args::{Options, Recording};
use crate::metrics::MetricsFile;
use crate::output;
use crate::progress::Progress;
use crate::training::{Metric, Setting, Training};

/// Trains and records as asked; the exit code tells whether all of it was written.
pub(crate) fn run(recording: &Recording) -> anyhow::Result<ExitCode> {
    let options = recording.options();
    let setting = Setting::new(recording)?;
    output::prepare(&options.out, options.overwrite)?;
    let metrics = metrics_file(options)?;
    let progress = Progress::new(setting.schedule.n_steps);
    let training = setting.start(&options.out, &options.recording.cadence(), options.recording.flush_secs)?;
    let mut run = Run { options, training, metrics, metrics_lost: false, progress, told: None };
    run.train()?;
    Ok(run.finish())
}

struct Run<'a> {
    options: &'a Options,
    training: Training<'a>,
    metrics: Option<MetricsFile>,
    /// Whether the metrics of an epoch could not be written.
    metrics_lost: bool,
    progress: Progress,
    /// What has been told of the recorder's troubles: nothing, or whether it had stopped.
    told: Option<bool>,
}

impl Run<'_> {
    fn train(&mut self) -> anyhow::Result<()> {
        for step in 1..=self.training.schedule.n_steps {
            let loss = self.training.step(self.training.schedule.is_snapshot(step))?;
            self.progress.step(loss);
            self.warn_of_trouble();
            if self.training.schedule.is_evaluated(step) {
                let metrics = self.training.evaluate();
                self.log_metrics(self.training.schedule.epoch(step), step, &metrics);
            }
        }
        Ok(())
    }

    /// Shows the metrics of an epoch and writes them to the file that was asked for.
    fn log_metrics(&mut self, epoch: i32, step: i64, metrics: &[Metric]) {
        let told: Vec<_> =
            metrics.iter().map(|(name, value)| format!("{} {value:.4}", name.replace('_', " "))).collect();
        self.progress.line(&format!("epoch {epoch}: {}", told.join(", ")));
        let appended = self.metrics.as_mut().map(|file| file.append(epoch, step, metrics));
        if let Some(Err(fault)) = appended {
            self.metrics_lost = true;
            self.warn(&format!("metrics lost: {fault:#}"));
        }
    }

    /// Says once that the recorder meets with faults, and once that it has stopped.
    fn warn_of_trouble(&mut self) {
        let health = self.training.recorder.health();
        let Some(fault) = health.fault.filter(|_| self.told < Some(health.has_stopped)) else { return };
        self.told = Some(health.has_stopped);
        self.warn(&if health.has_stopped {
            format!("training goes on unrecorded: {fault}")
        } else {
            format!("cannot write, tries again: {fault}")
        });
    }

    fn warn(&self, message: &str) {
        self.progress.line(&format!("epsiloscope-record: {}", escaped(message)));
    }

    fn finish(mut self) -> ExitCode {
        self.warn_of_trouble();
        let n_recorded = self.training.schedule.n_recorded();
        let (out, has_stopped) = (escaped(&self.options.out.display().to_string()), self.told == Some(true));
        let finished = self.training.recorder.finish();
        self.progress.finish();
        let told = outcome(&finished, n_recorded, &out);
        if finished.is_ok() || !has_stopped {
            self.progress.line(&told);
        }
        let is_complete = matches!(finished, Ok(Losses { dropped_steps: 0, .. })) && !self.metrics_lost;
        if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What became of a run, in a line or two.
fn outcome(finished: &Result<Losses, RecorderError>, n_recorded: u64, out: &str) -> String {
    let losses = match finished {
        Ok(losses) => losses,
        Err(fault) => return format!("epsiloscope-record: recording failed: {}", escaped(&fault.to_string())),
    };
    let dropped = losses.dropped_steps;
    let kept = n_recorded.saturating_sub(dropped);
    let told = format!("{kept} steps recorded in {out}; next: epsiloscope estimate {out}");
    if dropped == 0 {
        return told;
    }
    let cause = losses.faults.first().map_or("the disk was slower than the training", String::as_str);
    format!("epsiloscope-record: warning: {dropped} of {n_recorded} steps dropped: {}\n{told}", escaped(cause))
}

fn metrics_file(options: &Options) -> anyhow::Result<Option<MetricsFile>> {
    options.metrics.as_deref().map(|path| MetricsFile::create(path, options.overwrite)).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dropped_steps_are_told_with_their_cause() {
        let losses = |dropped_steps, faults: &[&str]| {
            Ok(Losses { dropped_steps, faults: faults.iter().map(|&fault| fault.to_owned()).collect() })
        };
        let next = "in run; next: epsiloscope estimate run";
        assert_eq!(outcome(&losses(0, &["disk full"]), 9, "run"), format!("9 steps recorded {next}"));
        assert_eq!(
            outcome(&losses(2, &["disk full", "gone"]), 9, "run"),
            format!("epsiloscope-record: warning: 2 of 9 steps dropped: disk full\n7 steps recorded {next}")
        );
        let slow = "epsiloscope-record: warning: 1 of 9 steps dropped: the disk was slower than the training\n";
        assert!(outcome(&losses(1, &[]), 9, "run").starts_with(slow));
        let failed = outcome(&Err(RecorderError::Stalled { patience: Duration::from_mins(1) }), 9, "run");
        assert!(failed.starts_with("epsiloscope-record: recording failed: the disk took nothing"), "{failed}");
    }
}

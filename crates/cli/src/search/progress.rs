//! How a search goes, on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use epsiloscope_search::{Event, Goal, Observer, Outcome, Settings};
use indicatif::{ProgressBar, ProgressStyle};

use crate::runs;
use crate::search::shown::short;

/// A bar where standard error is a terminal, and in any case a line for the first trial that fails.
pub(super) struct Progress {
    bar: ProgressBar,
    goal: Goal,
    best: Option<f64>,
    n_failed: usize,
}

impl Progress {
    pub(super) fn new(settings: &Settings) -> Self {
        let n_trials = settings.strategy.max_points() as u64 * settings.n_seeds;
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(n_trials) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} trials, {elapsed}, {msg}");
        bar.set_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, goal: settings.metric.goal(), best: None, n_failed: 0 }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
        if 1 < self.n_failed {
            runs::report(&anyhow::anyhow!("{} trials failed in all", self.n_failed));
        }
    }

    fn note_value(&mut self, value: f64) {
        let is_better = self.best.is_none_or(|best| self.goal.cost(value) < self.goal.cost(best));
        if is_better {
            self.best = Some(value);
            self.bar.set_message(format!("best {}", short(value)));
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Batch { finished, .. } => self.bar.inc(finished as u64),
            Event::Trial { point, trial, dir, .. } => {
                self.bar.inc(1);
                match &trial.outcome {
                    Outcome::Completed { value } => self.note_value(*value),
                    Outcome::Failed { reason } => {
                        self.n_failed += 1;
                        if self.n_failed == 1 {
                            let told = anyhow::anyhow!("point {point} failed: {reason}; see {}", dir.display());
                            self.bar.suspend(|| runs::report(&told));
                        }
                    }
                    Outcome::Diverged { .. } | Outcome::TimedOut => {}
                }
            }
        }
    }
}

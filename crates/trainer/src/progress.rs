//! What is shown on standard error.

use std::io::Write as _;

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{bar:32} {pos}/{len} steps, {per_sec}, {eta} left, {msg}";

/// A bar on a terminal, and lines above it; without a terminal only the lines.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(n_steps: i64) -> Self {
        let bar = ProgressBar::new(n_steps as u64);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(crate) fn step(&self, loss: f64) {
        self.bar.set_message(format!("loss {loss:.4}"));
        self.bar.inc(1);
    }

    pub(crate) fn line(&self, line: &str) {
        // Without standard error there is nowhere to show anything.
        self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

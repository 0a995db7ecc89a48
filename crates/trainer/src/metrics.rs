//! What training says of its test metrics in a file of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use fs_err::{File, OpenOptions};

use crate::workloads::Metric;

const HEADER: &str = "epoch,step,metric,value\n";

/// A CSV file that grows by one row per metric and epoch.
pub(crate) struct MetricsFile(File);

impl MetricsFile {
    /// # Errors
    /// A file that is there already, unless it may be replaced, and one that cannot be written.
    pub(crate) fn create(path: &Path, overwrite: bool) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(overwrite).create(overwrite).create_new(!overwrite);
        let file = options.open(path);
        let hint = "expected a new file, or --overwrite";
        let mut file = Self(file.with_context(|| format!("{}: {hint}", path.display()))?);
        file.write(HEADER)?;
        Ok(file)
    }

    pub(crate) fn append(&mut self, epoch: i32, step: usize, metrics: &[Metric]) -> anyhow::Result<()> {
        let mut rows = String::new();
        for (metric, value) in metrics {
            let _ = writeln!(rows, "{epoch},{step},{metric},{value}");
        }
        self.write(&rows)
    }

    /// In one piece, so that a reader sees whole rows.
    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.0.write_all(text.as_bytes())?)
    }
}

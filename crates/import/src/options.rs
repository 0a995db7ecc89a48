//! What whoever imports knows and the files do not say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use epsiloscope_format::{GradientDefinition, Imported, MagnitudePolicy, Manifest, Mode, OptimizerSettings};
use epsiloscope_moments::Convention;

/// What to import, and what is known of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The training loop's optimizer; `unknown` if its name is not told.
    pub optimizer: OptimizerSettings,
    /// Whether the weights moved.
    pub mode: Mode,
    /// What happened to the gradients before they were written down.
    pub gradient: GradientDefinition,
    /// Whatever describes the run.
    pub labels: BTreeMap<String, String>,
    /// Tags or arrays whose names match one of these patterns; all if there is none.
    pub include: Vec<String>,
    /// But not those that match one of these.
    pub exclude: Vec<String>,
    /// Taken off the beginning of names that begin with it.
    pub strip_prefix: String,
    /// Taken off the end of names that end with it.
    pub strip_suffix: String,
    /// What stands in names where this program has dots, `/` for instance; empty for dots.
    pub separator: String,
    /// Says that histograms were written at every optimizer step, which event files do not.
    pub every_step: bool,
    /// Steps that make an epoch, if known.
    pub steps_per_epoch: Option<i64>,
    /// The elements whose values the run keeps, where files hold values.
    pub magnitudes: MagnitudePolicy,
}

impl Default for Options {
    /// Everything, of training with an unknown optimizer.
    fn default() -> Self {
        Self {
            optimizer: OptimizerSettings::unknown(),
            mode: Mode::Monitoring,
            gradient: GradientDefinition {
                accumulated_batches: 1,
                unscaled: false,
                clipped: false,
                coupled_weight_decay: 0.0,
            },
            labels: BTreeMap::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            strip_prefix: String::new(),
            strip_suffix: String::new(),
            separator: String::new(),
            every_step: false,
            steps_per_epoch: None,
            magnitudes: MagnitudePolicy::All,
        }
    }
}

/// An optimizer's settings, as far as they are told: `unknown` unless named, with the optimizer's usual ε unless another is given.
pub fn optimizer_settings(
    name: Option<&str>,
    epsilon: Option<f64>,
    learning_rate: Option<f64>,
    weight_decay: f64,
    (beta1, beta2): (Option<f64>, Option<f64>),
) -> OptimizerSettings {
    let name = name.map_or_else(|| OptimizerSettings::unknown().name, str::to_owned);
    let usual = name.parse().ok().map(Convention::default_epsilon);
    OptimizerSettings { name, learning_rate, epsilon: epsilon.or(usual), beta1, beta2, weight_decay }
}

impl Options {
    /// The manifest of a run in `dir`, without tensors, quantities and steps.
    pub(crate) fn manifest(&self, dir: &Path, imported: Imported) -> Manifest {
        let framework = format!("imported from {}", imported.from);
        Manifest {
            gradient: self.gradient,
            labels: self.labels.clone(),
            imported: Some(imported),
            ..Manifest::new(Manifest::name_from(dir), self.mode, self.optimizer.clone(), framework)
        }
    }

    /// The epoch of a step that counts from 1.
    pub(crate) fn epoch(&self, step: i64) -> Option<i32> {
        let steps = self.steps_per_epoch.filter(|&steps| 0 < steps)?;
        i32::try_from((step - 1) / steps + 1).ok()
    }
}

/// A run that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRun {
    /// Its directory.
    pub dir: PathBuf,
    /// What it was made of.
    pub source: PathBuf,
    /// Steps in it.
    pub n_steps: u64,
    /// The first and the last of them.
    pub steps: (i64, i64),
    /// Tensors in it.
    pub n_tensors: u64,
    /// What was lost and why, a sentence each with file and offset: damaged records, those that contradict themselves.
    pub faults: Vec<String>,
    /// What else to know: files without an end, tags that are no gradients.
    pub notes: Vec<String>,
}

//! `run.json`: what was recorded and how.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use chrono::{SecondsFormat, Utc};
use epsiloscope_histogram::BINS_PER_DECADE;
use epsiloscope_histogram::bins::lower_edge;
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::fs::FileSystem;
use crate::parts::PartEntry;
use crate::publish::publish_on;
use crate::schema::{MAX_NAME_BYTES, SCHEMA_VERSION, Table};
use crate::seal::{seal, unseal};
use crate::storage::Storage;

/// The manifest's file name.
pub(crate) const FILE_NAME: &str = "run.json";
/// The value of `format` that marks our manifests.
const FORMAT: &str = "epsiloscope-run";
/// A manifest of 10,000 tensors takes 2 MiB; anything larger than this is not one.
const MAX_BYTES: u64 = 16 << 20;

/// More processes than train one network.
const MAX_RANKS: u32 = 1 << 16;
/// Of steps to record.
const MAX_RANGES: usize = 1024;
/// Absent steps are listed one by one up to so many.
const MAX_ABSENT: usize = 1 << 20;

/// Words that DuckDB, polars or Spark read as something else than text.
const VALUES: [&str; 10] = ["inf", "infinity", "nan", "true", "false", "null", "epoch", "now", "today", "tomorrow"];

/// Everything about a run that is not a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `epsiloscope-run`.
    pub format: String,
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u64,
    /// The run's name, which begins with a letter so that no reader of hive paths takes it for a number.
    pub run: String,
    /// Whether recording has ended.
    pub status: Status,
    /// Whether the weights moved.
    pub mode: Mode,
    /// When recording began, RFC 3339.
    pub created: String,
    /// When it ended.
    pub finished: Option<String>,
    /// Bins per decade of `histograms`.
    pub bins_per_decade: u32,
    /// What the quantity `gradient` went through before it was read.
    pub gradient: GradientDefinition,
    /// The optimizer that the training loop uses.
    pub optimizer: OptimizerSettings,
    /// Which elements `magnitudes` holds.
    pub magnitudes: MagnitudePolicy,
    /// Whether `magnitudes` says which values are below zero. AdaBelief and AdaMomentum cannot be replayed without.
    pub signs: bool,
    /// Whether `histograms` holds every gradient's bin, step by step. Critical ε are binned in any case.
    pub histograms: bool,
    /// The steps at which anything is recorded.
    pub cadence: Cadence,
    /// Quantities recorded, sorted.
    pub quantities: Vec<String>,
    /// How the quantities `critical_epsilon.*` came about, where any was recorded.
    pub critical_epsilon: Option<CriticalEpsilonPolicy>,
    /// Parameter tensors recorded, sorted by name.
    pub tensors: Vec<TensorInfo>,
    /// The processes that record the run.
    pub ranks: Ranks,
    /// Where recording was taken up again after an interruption, in order.
    pub resumed: Vec<Resumption>,
    /// Whatever describes the run: model, data, seed, batch size, command.
    pub labels: BTreeMap<String, String>,
    /// Versions of what wrote it.
    pub software: Software,
    /// Where the gradients come from, if this program did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// What could not be kept, as far as rank 0 knows.
    pub losses: Losses,
    /// Totals of rank 0, once finished.
    pub totals: Option<Totals>,
}

/// Where recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Under way, or interrupted.
    Running,
    /// Ended in order.
    Finished,
    /// The recorder gave up; what it had published stays readable.
    Failed,
}

/// Whether the weights moved while gradients were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Weights frozen at their initial values.
    Calibration,
    /// Weights trained.
    Monitoring,
}

impl Mode {
    /// Its word in manifests and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calibration => "calibration",
            Self::Monitoring => "monitoring",
        }
    }
}

/// What the quantity `gradient` is: what enters the optimizer's moments, read once per optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientDefinition {
    /// Micro-batches whose gradients add up to one step.
    pub accumulated_batches: u32,
    /// Whether a loss scale was divided out.
    pub unscaled: bool,
    /// Whether gradients were clipped before they were read.
    pub clipped: bool,
    /// The L2 coefficient w of the term w·p that was added to the gradient of parameter p; 0 if none.
    pub coupled_weight_decay: f64,
}

/// The training loop's optimizer and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Its name, e.g. `adam`.
    pub name: String,
    /// The learning rate at the first step; `None` if whoever imported the run did not know.
    pub learning_rate: Option<f64>,
    /// ε, the value in question; `None` likewise.
    pub epsilon: Option<f64>,
    /// Decay of the first moment, where there is one.
    pub beta1: Option<f64>,
    /// Decay of the second moment.
    pub beta2: Option<f64>,
    /// Weight decay, coupled or not.
    pub weight_decay: f64,
}

impl OptimizerSettings {
    /// Adam as PyTorch has it unless told otherwise.
    pub fn adam() -> Self {
        Self {
            name: "adam".to_owned(),
            learning_rate: Some(1e-3),
            epsilon: Some(1e-8),
            beta1: Some(0.9),
            beta2: Some(0.999),
            weight_decay: 0.0,
        }
    }

    /// One of which nothing is known.
    pub fn unknown() -> Self {
        let name = "unknown".to_owned();
        Self { name, learning_rate: None, epsilon: None, beta1: None, beta2: None, weight_decay: 0.0 }
    }
}

/// How the critical ε of every element was taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticalEpsilonPolicy {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Whether it was binned at every recorded step; if not, at snapshots only.
    pub every_step: bool,
    /// Whether snapshots hold every element's value, in `magnitudes`.
    pub elements: bool,
}

/// The steps at which anything is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// Every so many steps, the first of each range included.
    pub every: u64,
    /// Inside these ranges; all steps if there is none.
    pub ranges: Vec<StepRange>,
}

/// Steps from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRange {
    /// The first step, counted from 1.
    pub first: i64,
    /// The last; `None` for as long as the run lasts.
    pub last: Option<i64>,
}

impl Default for Cadence {
    /// Every step.
    fn default() -> Self {
        Self { every: 1, ranges: Vec::new() }
    }
}

impl Cadence {
    /// Whether a step is recorded.
    pub fn includes(&self, step: i64) -> bool {
        let within = |range: &&StepRange| range.first <= step && range.last.is_none_or(|last| step <= last);
        self.ranges().iter().filter(within).any(|range| (step - range.first) % self.distance() == 0)
    }

    fn distance(&self) -> i64 {
        i64::try_from(self.every.max(1)).unwrap_or(i64::MAX)
    }

    fn ranges(&self) -> &[StepRange] {
        const WHOLE: [StepRange; 1] = [StepRange { first: 1, last: None }];
        if self.ranges.is_empty() { &WHOLE } else { &self.ranges }
    }

    /// Adds the steps that should have been recorded from `first` to `last`, which are absent, to ranges of absent ones.
    pub(crate) fn note_absent(&self, first: i64, last: i64, absent: &mut Vec<(i64, i64)>) {
        let every = self.distance();
        for range in self.ranges() {
            let (first, last) = (first.max(range.first), last.min(range.last.unwrap_or(i64::MAX)));
            if every == 1 {
                absent.extend((first <= last).then_some((first, last)));
                continue;
            }
            let next = first.saturating_add((range.first - first).rem_euclid(every));
            let steps = (next..=last).step_by(every as usize);
            absent.extend(steps.take(MAX_ABSENT.saturating_sub(absent.len())).map(|step| (step, step)));
        }
    }

    fn contradiction(&self) -> Option<String> {
        let is_possible = |range: &StepRange| 0 <= range.first;
        if self.ranges.len() <= MAX_RANGES && self.ranges.iter().all(is_possible) {
            return None;
        }
        Some(format!("{} ranges from {:?} on", self.ranges.len(), self.ranges.iter().map(|range| range.first).min()))
    }

    /// Whether every step is recorded, which replaying a moment needs.
    pub fn is_every_step(&self) -> bool {
        self.every <= 1 && self.ranges.is_empty()
    }
}

/// The processes that record a run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranks {
    /// How many train.
    pub world_size: u32,
    /// What each of them sees of a gradient.
    pub gradients: Gradients,
}

/// What each rank sees of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gradients {
    /// All of it, the same everywhere (data parallel): rank 0 alone records.
    Replicated,
    /// Some of its elements: every rank records its own.
    Sharded,
}

impl Ranks {
    /// How many ranks write part files.
    pub fn n_recording(self) -> u32 {
        match self.gradients {
            Gradients::Replicated => 1,
            Gradients::Sharded => self.world_size.max(1),
        }
    }
}

/// A point at which recording was taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// The step that training was at; what had been recorded of later ones was set aside.
    pub after_step: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Whether the moments behind critical ε went on as well; if not they began again from zero.
    pub moments_restored: bool,
}

/// What could not be kept of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    /// Steps that were to be recorded and are not.
    pub dropped_steps: u64,
    /// What went wrong, the first few causes.
    pub faults: Vec<String>,
}

impl Losses {
    /// Causes kept at most.
    pub const MAX_FAULTS: usize = 8;

    /// Keeps a cause that is not known yet.
    pub(crate) fn note(&mut self, fault: String) {
        if self.faults.len() < Self::MAX_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// Which elements of each tensor `magnitudes` holds at every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "policy", deny_unknown_fields)]
pub enum MagnitudePolicy {
    /// Every element.
    All,
    /// The same elements at every step, drawn without replacement.
    Sample {
        /// At most this many per tensor.
        elements_per_tensor: u64,
        /// Seed of the draw.
        seed: u64,
    },
    /// No element.
    None,
}

impl MagnitudePolicy {
    /// Whether every one of so many elements is recorded.
    pub fn is_complete(self, numel: u64) -> bool {
        match self {
            Self::All => true,
            Self::Sample { elements_per_tensor, .. } => numel <= elements_per_tensor,
            Self::None => numel == 0,
        }
    }
}

/// A parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// How many of its elements `magnitudes` holds at every step.
    pub recorded_elements: u64,
}

impl TensorInfo {
    /// The number of its elements; a shape that no tensor can have counts as none.
    pub fn numel(&self) -> u64 {
        self.checked_numel().unwrap_or(0)
    }

    fn checked_numel(&self) -> Option<u64> {
        let sizes = self.shape.iter().map(|&size| u64::try_from(size).ok());
        sizes.reduce(|product, size| product?.checked_mul(size?)).unwrap_or(Some(1))
    }

    /// What contradicts itself, if anything does.
    fn contradiction(&self) -> Option<String> {
        match self.checked_numel() {
            None => Some(format!("of shape {:?}", self.shape)),
            Some(numel) if numel < self.recorded_elements => {
                Some(format!("with {} of {numel} elements recorded", self.recorded_elements))
            }
            Some(_) => None,
        }
    }
}

/// What another program wrote down of the gradients, and what became of it here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The kind of files: `tensorboard`, `npz` or `safetensors`.
    pub from: String,
    /// Added to the steps that those files count from 0.
    pub step_offset: i64,
    /// Whether every optimizer step is known to be there, between the first and the last as well.
    pub every_step: bool,
    /// The bins in which the values were counted there; `None` where the values themselves were kept.
    pub bins: Option<SourceBins>,
}

/// Bins of another program, wider than ours: `least · growth^k` and their mirror images below zero, k from 0.
///
/// Counts in `histograms` are those of these bins, spread evenly, on the logarithmic axis, over ours. What is known of an element
/// in bin b is [`range`](Self::range). Magnitudes below `least` cannot be told from zeros where they are not negative: `zeros` in
/// `tensors` counts both; negative ones are counted in the bin below `least`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceBins {
    /// The least edge above zero.
    pub least: f64,
    /// The factor from an edge to the next.
    pub growth: f64,
}

impl SourceBins {
    /// The bins of `add_histogram` of PyTorch and tensorboardX, and of TensorFlow's first histograms.
    pub const TENSORBOARD: Self = Self { least: 1e-12, growth: 1.1 };

    /// Where the magnitudes that were counted in one of our bins lie for certain, ends included: from edge to edge of the
    /// source's bins that touch it.
    ///
    /// # Examples
    /// ```
    /// use epsiloscope_format::SourceBins;
    ///
    /// // 1e-3 to 1.059e-3; the source's edges around them are 1.1^217 and 1.1^219 times 1e-12.
    /// let (low, high) = SourceBins::TENSORBOARD.range(-120);
    /// assert!(9.5e-4 < low && low <= 1e-3 && 1.059e-3 <= high && high < 1.17e-3);
    /// assert_eq!(SourceBins::TENSORBOARD.range(-481).0, 0.0);
    /// ```
    pub fn range(self, bin: i32) -> (f64, f64) {
        // Our edges meet the source's at its least alone; rounding there makes no difference.
        const SLACK: f64 = 1e-9;
        let place = |edge: f64| (edge / self.least).ln() / self.growth.ln();
        let edge = |k: f64| self.least * self.growth.powf(k);
        let (low, high) = (place(lower_edge(bin, BINS_PER_DECADE)), place(lower_edge(bin + 1, BINS_PER_DECADE)));
        let low = (low + SLACK).floor();
        (if low < 0.0 { 0.0 } else { edge(low) }, edge((high - SLACK).ceil().max(0.0)))
    }
}

/// Versions of what wrote the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Of Epsiloscope.
    pub epsiloscope: String,
    /// Of what computed the gradients, e.g. `libtorch 2.13.0`.
    pub framework: String,
}

/// What a finished run amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Steps recorded.
    pub steps: u64,
    /// Per table.
    pub tables: BTreeMap<Table, TableTotals>,
}

/// What one table of a finished run amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableTotals {
    /// Part files.
    pub parts: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, part: &PartEntry) {
        let total = self.tables.entry(part.table).or_default();
        total.parts += 1;
        total.rows += part.rows;
        total.bytes += part.bytes;
        self.steps += if part.table == Table::Steps { part.rows } else { 0 };
    }

    /// Counts parts as well.
    pub fn extend<'a>(&mut self, parts: impl IntoIterator<Item = &'a PartEntry>) {
        parts.into_iter().for_each(|part| self.add(part));
    }
}

/// The head of any manifest, of any version.
#[derive(Deserialize)]
struct Header {
    format: String,
    schema_version: u64,
}

impl Manifest {
    /// The place of a tensor in [`tensors`](Self::tensors), which are sorted by name.
    pub fn tensor_index(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()
    }

    /// The place of a quantity in [`quantities`](Self::quantities).
    pub fn quantity_index(&self, name: &str) -> Option<usize> {
        self.quantities.iter().position(|quantity| quantity == name)
    }

    /// The manifest of a run that begins now.
    pub fn new(run: String, mode: Mode, optimizer: OptimizerSettings, framework: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            schema_version: SCHEMA_VERSION,
            run,
            status: Status::Running,
            mode,
            created: now(),
            finished: None,
            bins_per_decade: BINS_PER_DECADE,
            gradient: GradientDefinition {
                accumulated_batches: 1,
                unscaled: false,
                clipped: false,
                coupled_weight_decay: 0.0,
            },
            optimizer,
            magnitudes: MagnitudePolicy::None,
            signs: true,
            histograms: true,
            cadence: Cadence::default(),
            quantities: Vec::new(),
            critical_epsilon: None,
            tensors: Vec::new(),
            ranks: Ranks { world_size: 1, gradients: Gradients::Replicated },
            resumed: Vec::new(),
            labels: BTreeMap::new(),
            software: Software { epsiloscope: env!("CARGO_PKG_VERSION").to_owned(), framework },
            imported: None,
            losses: Losses::default(),
            totals: None,
        }
    }

    /// A run's name: its directory's, with `r-` before it where a reader of hive paths would take it for a number, a
    /// date or a truth value.
    pub fn name_from(dir: &Path) -> String {
        let name = std::path::absolute(dir).ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
        let Some(name) = name else { return "r-unnamed".to_owned() };
        let is_text = name.starts_with(|first: char| first.is_ascii_alphabetic());
        if is_text && !VALUES.iter().any(|value| name.eq_ignore_ascii_case(value)) { name } else { format!("r-{name}") }
    }

    /// Whether the bins of a quantity are written.
    pub fn histograms_hold(&self, quantity: usize) -> bool {
        self.histograms || self.quantities[quantity] != crate::GRADIENT
    }

    /// Reads and checks the manifest of a run.
    ///
    /// # Errors
    /// [`FormatError`] if there is none, or it is foreign, newer, malformed or contradicts itself.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, FormatError> {
        let path = storage.root().join(FILE_NAME);
        let field = |field, found: String, expected: &str| FormatError::Field {
            path: path.clone(),
            field,
            found,
            expected: expected.to_owned(),
        };
        let text = storage
            .read(FILE_NAME.as_ref(), &|bytes| check_size(&path, bytes))
            .map_err(|fault| explained(storage, fault))?;
        let malformed = |source| FormatError::Manifest { path: path.clone(), source };
        let header: Header = serde_json::from_slice(&text).map_err(malformed)?;
        if header.format != FORMAT {
            return Err(field("format", header.format, FORMAT));
        }
        if header.schema_version != SCHEMA_VERSION {
            return Err(FormatError::OtherSchema { path, found: header.schema_version });
        }
        let text = unseal(&text).map_err(|broken| field("digest", broken.found, &broken.expected))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(malformed)?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    /// What cannot be told from the text alone.
    fn check(&self, path: &Path) -> Result<(), FormatError> {
        let field = |field, found: String, expected: &str| {
            Err(FormatError::Field { path: path.to_owned(), field, found, expected: expected.to_owned() })
        };
        if self.bins_per_decade != BINS_PER_DECADE {
            return field("bins_per_decade", self.bins_per_decade.to_string(), "40");
        }
        if !self.tensors.is_sorted_by(|a, b| a.name < b.name) {
            return field("tensors", "unsorted".to_owned(), "distinct names in ascending order");
        }
        if !self.quantities.is_sorted_by(|a, b| a < b) {
            return field("quantities", "unsorted".to_owned(), "distinct names in ascending order");
        }
        let names = self.tensors.iter().map(|tensor| &tensor.name).chain(&self.quantities);
        if let Some(name) = names.into_iter().find(|name| MAX_NAME_BYTES < name.len()) {
            return field("a name", format!("{} bytes long", name.len()), "at most 512");
        }
        for tensor in &self.tensors {
            if let Some(found) = tensor.contradiction() {
                return field("tensors", format!("{:?} {found}", tensor.name), "elements that a tensor can have");
            }
        }
        if let Some(bins) = self.imported.as_ref().and_then(|imported| imported.bins)
            && bins != SourceBins::TENSORBOARD
        {
            return field("imported.bins", format!("{bins:?}"), "edges at 1e-12·1.1^k");
        }
        if MAX_RANKS < self.ranks.world_size {
            return field("world_size", self.ranks.world_size.to_string(), "at most 65536");
        }
        match self.cadence.contradiction() {
            None => Ok(()),
            Some(found) => field("cadence", found, "at most 1024 ranges of steps, and steps that can be counted"),
        }
    }

    /// Writes the manifest atomically: readers see the old one or the new one.
    pub(crate) fn write(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), FormatError> {
        let path = dir.join(FILE_NAME);
        let malformed = |source| FormatError::Manifest { path: path.clone(), source };
        // What no reader would take is not written.
        self.check(&path)?;
        let text = serde_json::to_vec_pretty(self).map_err(malformed)?;
        let text = seal(&text);
        check_size(&path, text.len() as u64)?;
        Ok(publish_on(fs, dir, FILE_NAME, &text)?)
    }
}

fn check_size(path: &Path, bytes: u64) -> Result<(), FormatError> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let (found, expected) = (format!("{bytes} bytes"), "at most 16 MiB".to_owned());
    Err(FormatError::Field { path: path.to_owned(), field: "its size", found, expected })
}

/// What it means that a manifest cannot be read: there may be no run, or nothing at all.
fn explained(storage: &dyn Storage, fault: FormatError) -> FormatError {
    let path = storage.root().to_owned();
    match fault {
        FormatError::Io(source) if source.kind() == ErrorKind::NotADirectory => FormatError::NotARun { path },
        fault if !fault.is_absence() => fault,
        _ if storage.list("".as_ref()).is_err_and(|fault| fault.is_absence()) => FormatError::NoDirectory { path },
        _ => FormatError::NotARun { path },
    }
}

/// The time now, RFC 3339, in UTC to the second.
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_called_what_manifests_call_it() {
        for mode in [Mode::Calibration, Mode::Monitoring] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
    }
}

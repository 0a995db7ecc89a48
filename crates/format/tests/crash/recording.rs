//! A deterministic source of steps, whose rows are a function of the step.

use std::path::{Path, PathBuf};

use epsiloscope_format::{
    Elements, FormatError, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings, RunWriter,
    Sample, StepRecord, StepScalars, Table, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Counter, Summary};

/// Names and numbers of elements.
const TENSORS: [(&str, i64); 2] = [("bias", 2), ("weight", 3)];
/// Rows of a step in the longest table.
pub(crate) const ROWS_PER_STEP: usize = 5;
/// Flushes happen when they are asked for.
pub(crate) const BY_HAND: WriterOptions = WriterOptions { flush_rows: 1 << 20, flush_secs: 1e9 };

/// The exponent of an element's magnitude, a power of two.
fn exponent(step: i64, element: i64) -> i32 {
    ((step + element) % 16) as i32
}

fn is_negative(step: i64, element: i64) -> bool {
    (step + element) % 3 == 0
}

fn values(step: i64, numel: i64) -> Vec<f32> {
    let sign = |element| if is_negative(step, element) { -1.0 } else { 1.0 };
    (0..numel).map(|element| sign(element) * 2f32.powi(exponent(step, element))).collect()
}

pub(crate) fn manifest() -> Manifest {
    let optimizer = OptimizerSettings::adam();
    let mut manifest = Manifest::new("crash".to_owned(), Mode::Monitoring, optimizer, "none".to_owned());
    manifest.magnitudes = MagnitudePolicy::All;
    manifest.quantities = vec![GRADIENT.to_owned()];
    let tensor = |(name, numel): (&str, i64)| TensorInfo {
        name: name.to_owned(),
        shape: vec![numel],
        recorded_elements: numel as u64,
    };
    manifest.tensors = TENSORS.map(tensor).to_vec();
    manifest
}

pub(crate) fn record(step: i64) -> StepRecord {
    let observation = |(tensor, (_name, numel)): (usize, (&str, i64))| {
        let values = values(step, numel);
        let mut counter = Counter::new();
        counter.count(&values);
        Observation {
            tensor,
            quantity: 0,
            histogram: counter.take(),
            summary: Summary::of(&values),
            sample: Some(Sample { elements: Elements::From(0), values }),
        }
    };
    StepRecord {
        step,
        scalars: StepScalars { epoch: Some(1), time_micros: step, loss: Some(step as f64), ..StepScalars::default() },
        user_scalars: vec![("half".to_owned(), step as f64 / 2.0)],
        observations: TENSORS.into_iter().enumerate().map(observation).collect(),
    }
}

/// The rows that a table must have of a step, as text.
pub(crate) fn rows(table: Table, step: i64) -> Vec<String> {
    let tensors = |rows: fn(i64, i64) -> Vec<String>| -> Vec<String> {
        let named =
            |(name, numel)| rows(step, numel).into_iter().map(move |row| format!("{step} {name} gradient {row}"));
        TENSORS.into_iter().flat_map(named).collect()
    };
    match table {
        Table::Magnitudes => tensors(magnitude_rows),
        Table::Histograms => tensors(histogram_rows),
        Table::Tensors => tensors(tensor_rows),
        Table::Scalars => vec![format!("{step} half {:?}", step as f64 / 2.0)],
        Table::Steps => vec![format!("{step} 1 {step} {:?}   false", step as f64)],
    }
}

fn magnitude_rows(step: i64, numel: i64) -> Vec<String> {
    let row = |element| format!("{element} {}.0 {}", 1 << exponent(step, element), is_negative(step, element));
    (0..numel).map(row).collect()
}

fn histogram_rows(step: i64, numel: i64) -> Vec<String> {
    let bin = |element| (40.0 * 2f64.log10() * f64::from(exponent(step, element))).floor() as i32;
    let mut bins: Vec<i32> = (0..numel).map(bin).collect();
    bins.sort_unstable();
    bins.iter().map(|bin| format!("{bin} 1")).collect()
}

fn tensor_rows(step: i64, numel: i64) -> Vec<String> {
    let exponents = || (0..numel).map(|element| exponent(step, element));
    let (min, max) = (exponents().min().unwrap_or(0), exponents().max().unwrap_or(0));
    let sum_of_squares: i64 = exponents().map(|exponent| 1 << (2 * exponent)).sum();
    vec![format!("{numel} 0 0 0 0 {}.0 {}.0 {sum_of_squares}.0", 1 << min, 1 << max)]
}

/// A directory in memory where there is one: what is tested is killed processes, not cut power.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("epsiloscope-crash-").tempdir_in(parent).expect("a directory to record into")
}

/// Goes on with a run after a step, or begins it where it never began.
pub(crate) fn take_up(dir: &Path, after_step: i64, options: WriterOptions) -> RunWriter {
    match RunWriter::resume(dir, &manifest(), after_step, true, options) {
        Err(FormatError::NotARun { .. } | FormatError::NoDirectory { .. }) => {
            RunWriter::create(dir, manifest(), options).expect("a run that never began can be begun")
        }
        resumed => resumed.expect("an interrupted run can be resumed"),
    }
}

/// Records the steps after `after_step` up to `last` and ends the run in order.
pub(crate) fn complete(dir: &Path, after_step: i64, last: i64) {
    let mut writer = take_up(dir, after_step, BY_HAND);
    (after_step + 1..=last).for_each(|step| writer.append(record(step)).expect("the step can be written"));
    writer.finish().expect("the run can be finished");
}

/// Leaves a run of some steps unfinished, flushed after every second one.
pub(crate) fn interrupted(dir: &Path, last: i64) {
    let mut writer = take_up(dir, 0, BY_HAND);
    for step in 1..=last {
        writer.append(record(step)).expect("the step can be written");
        if step % 2 == 0 {
            writer.flush().expect("steps can be flushed");
        }
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for path in entries(from) {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// What a directory holds, sorted; nothing if there is none.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of the directory").path()).collect();
    paths.sort();
    paths
}

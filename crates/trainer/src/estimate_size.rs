//! `estimate-size`: what a recording would weigh.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use epsiloscope_format::{Cadence, Run, Table, TableTotals};
use epsiloscope_recorder::WriterOptions;
use serde::Serialize;

use crate::args::{EstimateArgs, Format, Recording};
use crate::size::{TableSize, Tables, Trial};
use crate::training::{Setting, Training};

/// Plain steps that are tried at least; two more follow, one with a snapshot.
const MIN_STEPS: u32 = 10;
/// Cheap steps are tried until so much time has passed: the histograms of later steps have more rows.
const PATIENCE: Duration = Duration::from_secs(4);
/// Longer than any trial: it says itself when to write.
const NEVER_SECS: f64 = 1e9;

/// What is printed.
#[derive(Serialize)]
struct Estimate {
    steps: i64,
    recorded_steps: u64,
    tables: BTreeMap<Table, TableSize>,
    /// The lists of parts and the manifest.
    other_bytes: f64,
    bytes: f64,
    tried_steps: u32,
    secs_per_step: f64,
}

pub(crate) fn run(args: &EstimateArgs) -> anyhow::Result<ExitCode> {
    let estimate = estimate(&args.recording)?;
    let text = match args.format {
        Format::Table => estimate.table(),
        Format::Json => serde_json::to_string_pretty(&estimate)? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Trains as asked for a few steps, into a directory that does not stay.
fn estimate(recording: &Recording) -> anyhow::Result<Estimate> {
    let setting = Setting::new(recording)?;
    ensure!(0 < setting.schedule.n_steps, "there is nothing to train on: expected a step or more");
    let temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
    let options = recording.options();
    let dir = temporary.path().join(options.out.file_name().unwrap_or_default());
    // Every step, so that few are enough.
    let mut training = setting.start(&dir, &Cadence::default(), NEVER_SECS)?;
    let (trial, secs_per_step) = try_steps(&mut training, &dir)?;
    let Training { recorder, schedule, .. } = training;
    recorder.finish()?;
    let writer_options = WriterOptions { flush_secs: options.recording.flush_secs, ..WriterOptions::default() };
    let sizes = trial.extrapolate(&schedule, secs_per_step, writer_options);
    let other_bytes = other_bytes(&dir, &trial, &sizes)?;
    Ok(Estimate {
        steps: schedule.n_steps,
        recorded_steps: schedule.n_recorded(),
        tables: Table::ALL.into_iter().zip(sizes).collect(),
        other_bytes,
        bytes: sizes.iter().map(|size| size.bytes).sum::<f64>() + other_bytes,
        tried_steps: trial.n_steps + 2,
        secs_per_step,
    })
}

/// Takes the steps of a trial; with it, the seconds that a step takes.
fn try_steps(training: &mut Training<'_>, dir: &Path) -> anyhow::Result<(Trial, f64)> {
    let started = Instant::now();
    let mut n_steps = 0;
    while n_steps < MIN_STEPS || (i64::from(n_steps) < training.schedule.n_steps && started.elapsed() < PATIENCE) {
        training.step(false)?;
        n_steps += 1;
    }
    let secs_per_step = started.elapsed().as_secs_f64() / f64::from(n_steps);
    let many = flush(training, dir)?;
    training.step(false)?;
    let with_one = flush(training, dir)?;
    training.step(true)?;
    training.pretend_to_evaluate();
    let with_snapshot = flush(training, dir)?;
    let trial = Trial { n_steps, many, one: difference(with_one, many), snapshot: difference(with_snapshot, with_one) };
    Ok((trial, secs_per_step))
}

/// What the run amounts to with everything written.
fn flush(training: &mut Training<'_>, dir: &Path) -> anyhow::Result<Tables<TableTotals>> {
    training.recorder.flush();
    if let Some(fault) = training.recorder.failure() {
        bail!("cannot record: {fault}");
    }
    let run = Run::open(dir)?;
    Ok(Table::ALL.map(|table| {
        run.parts(table).fold(TableTotals::default(), |sum, part| TableTotals {
            parts: sum.parts + 1,
            rows: sum.rows + part.rows,
            bytes: sum.bytes + part.bytes,
        })
    }))
}

fn difference(after: Tables<TableTotals>, before: Tables<TableTotals>) -> Tables<TableTotals> {
    std::array::from_fn(|table| TableTotals {
        parts: after[table].parts - before[table].parts,
        rows: after[table].rows - before[table].rows,
        bytes: after[table].bytes - before[table].bytes,
    })
}

/// Files that are no parts: the list of parts grows by part, the manifest does not grow.
fn other_bytes(dir: &Path, trial: &Trial, sizes: &Tables<TableSize>) -> anyhow::Result<f64> {
    let bytes = |name: &str| anyhow::Ok(fs_err::metadata(dir.join(name))?.len() as f64);
    let tried = [&trial.many, &trial.one, &trial.snapshot];
    let tried_parts: u64 = tried.into_iter().flatten().map(|totals| totals.parts).sum();
    let parts: u64 = sizes.iter().map(|size| size.parts).sum();
    Ok(bytes("run.json")? + bytes("parts-r000.jsonl")? * parts as f64 / tried_parts as f64)
}

impl Estimate {
    fn table(&self) -> String {
        let line = |name: &str, cells: [String; 4]| {
            let [steps, rows, parts, bytes] = cells;
            format!("{name:<14}{steps:>9}{rows:>14}{parts:>8}{bytes:>16}\n")
        };
        let mut text = line("table", ["steps", "rows", "parts", "bytes"].map(str::to_owned));
        for (table, size) in &self.tables {
            let cells = [size.steps.to_string(), whole(size.rows), size.parts.to_string(), whole(size.bytes)];
            text += &line(table.name(), cells);
        }
        let no_rows = |bytes| [String::new(), String::new(), String::new(), whole(bytes)];
        text += &line("other files", no_rows(self.other_bytes));
        text += &line("total", no_rows(self.bytes));
        let Self { steps, recorded_steps, tried_steps, secs_per_step, .. } = self;
        text + &format!(
            "{recorded_steps} of {steps} steps recorded; extrapolated from {tried_steps}, {:.0} ms each\n",
            1e3 * secs_per_step
        )
    }
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

//! What a run is, in words.

use std::io::{self, Write};

use epsiloscope_figure::grouped;
use epsiloscope_format::{
    Cadence, Gradients, Imported, MagnitudePolicy, Manifest, Mode, Resumption, Run, SourceBins, Status, StepRange,
    Table, TensorInfo, escaped,
};

use crate::number::{bytes, magnitude};

/// Ranges of missing steps that are written out; of the others the number is.
const MAX_RANGES: usize = 4;

/// Files that a crash left and steps that are not there, both as [`Run`] finds them.
pub struct Gaps {
    /// Number of [`Run::orphans`].
    pub n_orphans: usize,
    /// [`Run::missing_steps`].
    pub missing_steps: Vec<(i64, i64)>,
}

/// Writes what a run is: its name, state, optimizer, how much of it there is, and what is lost.
///
/// # Errors
/// What writing brings.
pub fn write_run(run: &Run, gaps: &Gaps, out: &mut dyn Write) -> io::Result<()> {
    let manifest = run.manifest();
    let size: u64 = Table::ALL.iter().flat_map(|&table| run.parts(table)).map(|part| part.bytes).sum();
    let mut lines = described(manifest);
    lines.push(("recorded", format!("steps 1 to {}, from {}", run.last_step(), manifest.created)));
    lines.push(("size", bytes(size)));
    lines.extend(manifest.resumed.iter().map(|resumption| ("resumed", resumed(resumption))));
    lines.extend(lost(run, gaps));
    lines.extend(manifest.labels.iter().map(|(label, value)| (label.as_str(), value.clone())));
    for (name, value) in lines {
        writeln!(out, "{:<12}{}", escaped(name), escaped(&value))?;
    }
    Ok(())
}

/// What the manifest says.
fn described(manifest: &Manifest) -> Vec<(&str, String)> {
    let optimizer = &manifest.optimizer;
    let unknown = || "unknown".to_owned();
    let rate = optimizer.learning_rate.map_or_else(unknown, |rate| rate.to_string());
    let epsilon = optimizer.epsilon.map_or_else(unknown, magnitude);
    let numel: u64 = manifest.tensors.iter().map(TensorInfo::numel).sum();
    let software = &manifest.software;
    let mut lines = vec![
        ("run", manifest.run.clone()),
        ("mode", mode(manifest.mode).to_owned()),
        ("status", status(manifest.status).to_owned()),
        ("optimizer", format!("{}, lr {rate}, ε {epsilon}", optimizer.name)),
        ("parameters", format!("{} in {} tensors", grouped(numel as i64), manifest.tensors.len())),
        ("magnitudes", magnitudes(manifest.magnitudes, manifest.signs)),
        ("critical ε", critical_epsilon(manifest)),
        ("cadence", cadence(&manifest.cadence)),
        ("written by", format!("epsiloscope {}, {}", software.epsiloscope, software.framework)),
    ];
    lines.extend(manifest.imported.iter().map(|imported| ("imported", self::imported(imported))));
    if manifest.ranks.world_size > 1 {
        let who = match manifest.ranks.gradients {
            Gradients::Replicated => "with the same gradients: one records",
            Gradients::Sharded => "each records its shard of the gradients",
        };
        lines.push(("ranks", format!("{}, {who}", manifest.ranks.world_size)));
    }
    lines
}

/// Where from, and what that leaves open.
fn imported(imported: &Imported) -> String {
    let steps = match (imported.bins, imported.every_step) {
        (_, true) => ", every optimizer step",
        (Some(_), false) => ", perhaps not every optimizer step",
        (None, false) => ", not every optimizer step",
    };
    let offset = if imported.step_offset == 0 { String::new() } else { ", where steps count from 0".to_owned() };
    let bins = imported.bins.map_or(String::new(), |bins| {
        let SourceBins { least, growth } = bins;
        format!(
            "; counted there in bins from {} on, each {growth} times the one before, and spread over ours",
            magnitude(least)
        )
    });
    format!("from {}{offset}{steps}{bins}", imported.from)
}

/// What should be there and is not, and what is there and should not be.
fn lost(run: &Run, gaps: &Gaps) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if run.dropped_steps() > 0 {
        lines.push(("dropped", format!("{} steps, which could not be written", run.dropped_steps())));
    }
    if !gaps.missing_steps.is_empty() {
        lines.push(("missing", missing(&gaps.missing_steps)));
    }
    lines.extend(run.manifest().losses.faults.iter().map(|fault| ("fault", fault.clone())));
    if gaps.n_orphans > 0 {
        let left = format!("{} files that the run does not list, left by a crash; not read", gaps.n_orphans);
        lines.push(("orphans", left));
    }
    lines
}

/// `steps 3, 5 to 9`; the first few ranges.
fn missing(ranges: &[(i64, i64)]) -> String {
    let range =
        |&(first, last): &(i64, i64)| if first == last { first.to_string() } else { format!("{first} to {last}") };
    let shown: Vec<String> = ranges.iter().take(MAX_RANGES).map(range).collect();
    let rest = match ranges.len() - shown.len() {
        0 => String::new(),
        n_more => format!(" and {n_more} more ranges"),
    };
    format!("steps {}{rest}", shown.join(", "))
}

fn resumed(resumption: &Resumption) -> String {
    let moments = if resumption.moments_restored { "went on" } else { "began again from zero" };
    format!("after step {}, {}; recorded moments {moments}", resumption.after_step, resumption.at)
}

/// Whose critical ε was recorded, and how.
fn critical_epsilon(manifest: &Manifest) -> String {
    let Some(policy) = manifest.critical_epsilon else { return "not recorded".to_owned() };
    let of = manifest.quantities.iter().filter_map(|quantity| quantity.strip_prefix("critical_epsilon."));
    let bins = if policy.every_step { "bins at every recorded step" } else { "bins at snapshots" };
    let elements = if policy.elements { ", every value at snapshots" } else { "" };
    let names = of.collect::<Vec<_>>().join(", ");
    format!("{names}; β1 {}, β2 {}; {bins}{elements}", policy.beta1, policy.beta2)
}

/// `every step`, or which ones.
fn cadence(cadence: &Cadence) -> String {
    let steps = if cadence.every <= 1 { "every step".to_owned() } else { format!("every {} steps", cadence.every) };
    let range = |&StepRange { first, last }: &StepRange| match last {
        Some(last) => format!("from {first} to {last}"),
        None => format!("from {first} on"),
    };
    [steps].into_iter().chain(cadence.ranges.iter().map(range)).collect::<Vec<_>>().join(", ")
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Calibration => "calibration, weights frozen",
        Mode::Monitoring => "monitoring, weights trained",
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Finished => "finished",
        Status::Running => "still running, or interrupted: read up to its last complete step",
        Status::Failed => "the recorder failed: read up to its last complete step",
    }
}

fn magnitudes(policy: MagnitudePolicy, signs: bool) -> String {
    let elements = match policy {
        MagnitudePolicy::All => "every element".to_owned(),
        MagnitudePolicy::None => return "none".to_owned(),
        MagnitudePolicy::Sample { elements_per_tensor, seed } => {
            format!("{elements_per_tensor} elements per tensor, seed {seed}")
        }
    };
    format!("{elements}, {} signs", if signs { "with" } else { "without" })
}

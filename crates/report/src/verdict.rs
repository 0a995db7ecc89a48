//! Estimates in words: what to search, what sets the bounds, what the run's own ε does.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use epsiloscope_analysis::estimate::nearest_power;
use epsiloscope_analysis::{Bound, Estimate, Method, OwnEpsilon, RunBound};
use epsiloscope_format::{MagnitudePolicy, Mode, Run, Status};

use crate::escape::escaped;
use crate::number::{bytes, grouped, magnitude, percent, power};

/// Below this share of elements an ε hardly changes any step; above one minus it, it rules nearly all of them.
const MARGINAL_SHARE: f64 = 0.01;

/// Writes the search spaces of one or several runs for people to read.
///
/// # Errors
/// What writing brings.
pub fn write_verdict(estimates: &[Estimate], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", search_spaces(estimates).trim_fmt())?;
    let notes: Vec<String> = estimates.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn search_spaces(estimates: &[Estimate]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["run", "optimizer", "search ε in", "decades", "lower bound", "set by", "upper bound", "set by"]);
    for estimate in estimates {
        let (lower, upper) = estimate.exponents();
        table.add_row([
            escaped(&estimate.run),
            estimate.optimizer.name().to_owned(),
            format!("[{}, {}]", power(lower), power(upper)),
            estimate.decades().to_string(),
            with_error(&estimate.lower.bound, method(estimate, &estimate.lower)),
            escaped(&estimate.lower.tensor),
            with_error(&estimate.upper.bound, method(estimate, &estimate.upper)),
            escaped(&estimate.upper.tensor),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index == 3 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn method(estimate: &Estimate, bound: &RunBound) -> Method {
    let tensor = estimate.tensors.iter().find(|tensor| tensor.tensor == bound.tensor);
    tensor.map_or(Method::Sample, |tensor| tensor.method)
}

/// `1.2e-5`, `1.2e-5 ±3 %` from a bin, `1.2e-5 (9.1e-6…1.5e-5)` from a sample.
fn with_error(bound: &Bound, method: Method) -> String {
    let value = magnitude(bound.value);
    match method {
        Method::Exact => value,
        // Half a bin: 10^(1/80) = 1.029.
        Method::Bins => format!("{value} ±3 %"),
        Method::Sample => {
            let end = |end: Option<f64>| end.map_or("?".to_owned(), magnitude);
            format!("{value} ({}…{})", end(bound.low), end(bound.high))
        }
    }
}

fn notes(estimate: &Estimate) -> Vec<String> {
    let name = format!("{}, {}", escaped(&estimate.run), estimate.optimizer);
    let mut notes = Vec::new();
    for (side, bound) in [("lower", &estimate.lower), ("upper", &estimate.upper)] {
        if let Some(without) =
            bound.without.filter(|&without| nearest_power(without) != nearest_power(bound.bound.value))
        {
            let tensor = escaped(&bound.tensor);
            notes.push(format!("{name}: {tensor} alone sets the {side} bound; without it {}.", magnitude(without)));
        }
    }
    if let Some(own) = estimate.own {
        notes.push(format!("{name}: {}", own_epsilon(own)));
    }
    for left_out in &estimate.left_out {
        notes.push(format!("{name}: {} is left out: {}.", escaped(&left_out.tensor), left_out.reason));
    }
    notes
}

fn own_epsilon(own: OwnEpsilon) -> String {
    let epsilon = magnitude(own.epsilon);
    if own.share_below == 0.0 {
        format!("the run's ε of {epsilon} lies below every critical ε: it has no effect.")
    } else if own.share_below < MARGINAL_SHARE {
        format!(
            "the run's ε of {epsilon} outweighs the gradient in {} of the elements: hardly any effect.",
            percent(own.share_below)
        )
    } else if own.share_below <= 1.0 - MARGINAL_SHARE {
        format!("the run's ε of {epsilon} outweighs the gradient in {} of the elements.", percent(own.share_below))
    } else {
        format!(
            "the run's ε of {epsilon} outweighs nearly every gradient ({}): the steps are SGD's.",
            percent(own.share_below)
        )
    }
}

/// Writes what a run is: its name, state, optimizer, and how much of it there is.
///
/// # Errors
/// What writing brings.
pub fn write_run(run: &Run, n_orphans: usize, out: &mut dyn Write) -> io::Result<()> {
    let manifest = run.manifest();
    let optimizer = &manifest.optimizer;
    let mode = match manifest.mode {
        Mode::Calibration => "calibration, weights frozen",
        Mode::Monitoring => "monitoring, weights trained",
    };
    let status = match manifest.status {
        Status::Finished => "finished".to_owned(),
        Status::Running => "still running, or interrupted: read up to its last complete step".to_owned(),
        Status::Failed => "the recorder failed: read up to its last complete step".to_owned(),
    };
    let magnitudes = match manifest.magnitudes {
        MagnitudePolicy::All => "every element".to_owned(),
        MagnitudePolicy::Sample { elements_per_tensor, seed } => {
            format!("{elements_per_tensor} elements per tensor, seed {seed}")
        }
        MagnitudePolicy::None => "none".to_owned(),
    };
    let size: u64 =
        epsiloscope_format::Table::ALL.iter().flat_map(|&table| run.parts(table)).map(|part| part.bytes).sum();
    let numel: u64 = manifest.tensors.iter().map(epsiloscope_format::TensorInfo::numel).sum();
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{}", escaped(value));
    line("run", &manifest.run)?;
    line("mode", mode)?;
    line("status", &status)?;
    line("recorded", &format!("steps 1 to {}, from {}", run.last_step(), manifest.created))?;
    line(
        "optimizer",
        &format!("{}, lr {}, ε {}", optimizer.name, optimizer.learning_rate, magnitude(optimizer.epsilon)),
    )?;
    line("parameters", &format!("{} in {} tensors", grouped(numel as i64), manifest.tensors.len()))?;
    line("magnitudes", &magnitudes)?;
    line("size", &bytes(size))?;
    line("written by", &format!("epsiloscope {}, {}", manifest.software.epsiloscope, manifest.software.framework))?;
    for (label, value) in &manifest.labels {
        line(label, value)?;
    }
    if n_orphans > 0 {
        line("orphans", &format!("{n_orphans} files that the run does not list, left by a crash; not read"))?;
    }
    Ok(())
}

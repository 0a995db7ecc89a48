//! What a run is, in words.

use std::io::{self, Write};

use epsiloscope_format::{MagnitudePolicy, Manifest, Mode, Run, Status, Table, TensorInfo, escaped};

use crate::number::{bytes, grouped, magnitude};

/// Writes what a run is: its name, state, optimizer, and how much of it there is.
///
/// # Errors
/// What writing brings.
pub fn write_run(run: &Run, n_orphans: usize, out: &mut dyn Write) -> io::Result<()> {
    let manifest = run.manifest();
    let size: u64 = Table::ALL.iter().flat_map(|&table| run.parts(table)).map(|part| part.bytes).sum();
    let mut lines = described(manifest);
    lines.push(("recorded", format!("steps 1 to {}, from {}", run.last_step(), manifest.created)));
    lines.push(("size", bytes(size)));
    lines.extend(manifest.labels.iter().map(|(label, value)| (label.as_str(), value.clone())));
    if n_orphans > 0 {
        lines.push(("orphans", format!("{n_orphans} files that the run does not list, left by a crash; not read")));
    }
    for (name, value) in lines {
        writeln!(out, "{:<12}{}", escaped(name), escaped(&value))?;
    }
    Ok(())
}

/// What the manifest says.
fn described(manifest: &Manifest) -> Vec<(&str, String)> {
    let optimizer = &manifest.optimizer;
    let (name, rate, epsilon) = (&optimizer.name, optimizer.learning_rate, magnitude(optimizer.epsilon));
    let numel: u64 = manifest.tensors.iter().map(TensorInfo::numel).sum();
    let software = &manifest.software;
    vec![
        ("run", manifest.run.clone()),
        ("mode", mode(manifest.mode).to_owned()),
        ("status", status(manifest.status).to_owned()),
        ("optimizer", format!("{name}, lr {rate}, ε {epsilon}")),
        ("parameters", format!("{} in {} tensors", grouped(numel as i64), manifest.tensors.len())),
        ("magnitudes", magnitudes(manifest.magnitudes)),
        ("written by", format!("epsiloscope {}, {}", software.epsiloscope, software.framework)),
    ]
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

fn magnitudes(policy: MagnitudePolicy) -> String {
    match policy {
        MagnitudePolicy::All => "every element".to_owned(),
        MagnitudePolicy::None => "none".to_owned(),
        MagnitudePolicy::Sample { elements_per_tensor, seed } => {
            format!("{elements_per_tensor} elements per tensor, seed {seed}")
        }
    }
}

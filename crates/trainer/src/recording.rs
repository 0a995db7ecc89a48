//! Options as the recorder takes them, and what the manifest says of a run.

use std::path::Path;

use epsiloscope_format::Cadence;
use epsiloscope_recorder::{Recorder, RecorderBuilder};
use tch::Device;
use tch::nn::VarStore;

use crate::args::{Options, Recording, Switch, TrainingOptions, name_of};
use crate::optimizers;
use crate::workloads::Workload;

/// What to record, at the given cadence, and what to call it.
pub(crate) fn builder<'a>(
    recording: &Recording,
    var_store: &'a VarStore,
    workload: &dyn Workload,
    cadence: &Cadence,
) -> RecorderBuilder<'a> {
    let Options { training, recording: options, .. } = recording.options();
    let mut builder = Recorder::builder(var_store, optimizers::settings(training))
        .mode(recording.mode())
        .magnitudes(options.magnitudes.policy(training.seed as u64))
        .signs(options.signs == Switch::On)
        .histograms(options.histograms == Switch::On)
        .every(cadence.every)
        .critical_epsilon(&options.critical_epsilon.0)
        .critical_epsilon_every_step(options.critical_epsilon_every_step)
        .accumulated_batches(training.gradient_accumulation)
        .clipped(training.clip_norm.is_some())
        .when_full(options.when_full.into());
    if let Some(elements) = options.snapshot_elements {
        builder = builder.snapshot_elements(elements == Switch::On);
    }
    builder = cadence.ranges.iter().fold(builder, |builder, range| builder.steps(range.first, range.last));
    builder = options.include.iter().fold(builder, |builder, pattern| builder.include(pattern));
    builder = options.exclude.iter().fold(builder, |builder, pattern| builder.exclude(pattern));
    let labels = workload.labels().into_iter().chain(labels(training, var_store.device()));
    labels.fold(builder, |builder, (key, value)| builder.label(key, value))
}

fn labels(options: &TrainingOptions, device: Device) -> impl Iterator<Item = (&'static str, String)> {
    let clip_norm = options.clip_norm.map(|norm| ("clip_norm", norm.to_string()));
    let labels = [
        ("model", name_of(&options.model)),
        ("batch_size", options.batch_size.to_string()),
        ("epochs", options.epochs.to_string()),
        ("seed", options.seed.to_string()),
        ("device", device_name(device)),
        // Sums are split among threads, which shows in the last bits.
        ("threads", options.n_threads().to_string()),
        ("command", command_line()),
    ];
    labels.into_iter().chain(clip_norm)
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// The command as typed, without the place of the executable.
fn command_line() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program.as_str()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    words.join(" ")
}

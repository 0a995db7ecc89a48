//! `epsiloscope import`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use epsiloscope_analysis::limits;
use epsiloscope_format::{GradientDefinition, MagnitudePolicy, Mode, escaped};
use epsiloscope_import::{ImportedRun, Options, ValueFormat, optimizer_settings, tensorboard, values};

use crate::args::{decay_rate, positive, within};
use crate::runs::{report, status};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope import tensorboard logs --out runs/old --strip-suffix /grad --separator /
  epsiloscope import tensorboard logs/events.out.tfevents.17… --out runs/old --every-step --optimizer adam --lr 3e-4
  epsiloscope import npz dumped --out runs/dumped             dumped/step-000001.npz and so on
  epsiloscope import safetensors gradients.safetensors --out runs/kept     arrays named step/tensor

What each knows and does not know, docs/import.md says.
")]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Subcommand)]
enum Source {
    /// Event files with histograms, as `add_histogram` of PyTorch and `tensorboardX` writes them; a run for each folder
    Tensorboard {
        /// A folder, those below it included, or an event file
        #[arg(value_name = "LOGDIR")]
        path: PathBuf,
        /// Says that histograms were written at every optimizer step: event files do not say it, and without it no error of a
        /// bound is known
        #[arg(long)]
        every_step: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Every element's gradient, step by step, in files of numpy.savez
    Npz(Values),
    /// Every element's gradient, step by step, in safetensors files
    Safetensors(Values),
}

#[derive(clap::Args)]
struct Values {
    /// A file of arrays named step/tensor, or files of arrays named by tensor whose own names end in the step; or a folder of them
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Elements of each tensor whose values the run keeps: all, none or their number
    #[arg(long, default_value = "all", value_parser = magnitudes, value_name = "all|none|K")]
    magnitudes: MagnitudePolicy,
    #[command(flatten)]
    common: Common,
}

/// What files do not say.
#[derive(clap::Args)]
struct Common {
    /// The new run's directory; of several folders of event files, the folder of their runs
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Import only tags or arrays whose name matches, such as 'conv*'; may be repeated [default: all; those that say grad, if some do]
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out those whose name matches, even if included; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Take this off the beginning of names, such as gradients/
    #[arg(long, default_value = "", value_name = "TEXT")]
    strip_prefix: String,
    /// Take this off the end of names, such as .grad
    #[arg(long, default_value = "", value_name = "TEXT")]
    strip_suffix: String,
    /// What names have where parameters have dots, such as /
    #[arg(long, default_value = "", value_name = "TEXT")]
    separator: String,
    /// The optimizer of the training, such as adam [default: unknown]
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Its learning rate [default: unknown]
    #[arg(long, value_parser = positive, value_name = "RATE")]
    lr: Option<f64>,
    /// Its ε [default: the usual one of the optimizer named, else unknown]
    #[arg(long, value_parser = not_negative, value_name = "EPSILON")]
    eps: Option<f64>,
    /// Decay rate of its first moment
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta1: Option<f64>,
    /// Decay rate of its second moment
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta2: Option<f64>,
    /// Its weight decay, coupled or not
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, value_name = "W")]
    weight_decay: f64,
    /// The coefficient w of a term w·p that is in the gradients already
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, value_name = "W")]
    coupled_weight_decay: f64,
    /// The gradients were clipped before they were written down
    #[arg(long)]
    clipped: bool,
    /// A loss scale was divided out of them
    #[arg(long)]
    unscaled: bool,
    /// Backward passes that add up to a step
    #[arg(long, default_value_t = 1, value_name = "N")]
    accumulated_batches: u32,
    /// Whether the weights moved
    #[arg(long, value_enum, default_value_t = Weights::Monitoring, value_name = "MODE")]
    mode: Weights,
    /// Steps that make an epoch, for --at epoch
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..), value_name = "N")]
    steps_per_epoch: Option<i64>,
    /// A label of the run; may be repeated
    #[arg(long, value_parser = label, value_name = "KEY=VALUE")]
    label: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Weights {
    /// Frozen
    Calibration,
    /// Trained
    Monitoring,
}

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let of_values = |args: &Values, format| {
        let options = Options { magnitudes: args.magnitudes, ..options(&args.common) };
        values(&args.path, &args.common.out, format, &options).map(|run| vec![run])
    };
    let runs = match &args.source {
        Source::Tensorboard { path, every_step, common } => {
            tensorboard(path, &common.out, &Options { every_step: *every_step, ..options(common) })
        }
        Source::Npz(args) => of_values(args, ValueFormat::Npz),
        Source::Safetensors(args) => of_values(args, ValueFormat::Safetensors),
    }?;
    let mut out = std::io::stdout().lock();
    let mut n_faults = 0;
    for run in &runs {
        writeln!(out, "{}", sentence(run))?;
        for what in run.faults.iter().chain(&run.notes) {
            report(&anyhow!("{what}"));
        }
        n_faults += run.faults.len();
    }
    out.flush()?;
    Ok(status(true, n_faults))
}

/// `runs/old: steps 1 to 94, 94 of them, of 8 tensors, from logs`
fn sentence(run: &ImportedRun) -> String {
    let ImportedRun { dir, source, n_steps, steps: (first, last), n_tensors, .. } = run;
    let tensors = if *n_tensors == 1 { "tensor" } else { "tensors" };
    let text = format!(
        "{}: {n_steps} steps from {first} to {last} of {n_tensors} {tensors}, from {}",
        dir.display(),
        source.display()
    );
    escaped(&text)
}

fn options(args: &Common) -> Options {
    let decay_rates = (args.beta1, args.beta2);
    Options {
        optimizer: optimizer_settings(args.optimizer.as_deref(), args.eps, args.lr, args.weight_decay, decay_rates),
        mode: if args.mode == Weights::Calibration { Mode::Calibration } else { Mode::Monitoring },
        gradient: GradientDefinition {
            accumulated_batches: args.accumulated_batches,
            unscaled: args.unscaled,
            clipped: args.clipped,
            coupled_weight_decay: args.coupled_weight_decay,
        },
        labels: args.label.iter().cloned().collect(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        strip_prefix: args.strip_prefix.clone(),
        strip_suffix: args.strip_suffix.clone(),
        separator: args.separator.clone(),
        steps_per_epoch: args.steps_per_epoch,
        ..Options::default()
    }
}

fn magnitudes(text: &str) -> Result<MagnitudePolicy, String> {
    match (text, text.parse()) {
        ("all", _) => Ok(MagnitudePolicy::All),
        ("none", _) => Ok(MagnitudePolicy::None),
        (_, Ok(elements_per_tensor @ 1..)) => Ok(MagnitudePolicy::Sample { elements_per_tensor, seed: 0 }),
        _ => Err("expected all, none or a number above 0".to_owned()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    within(text, limits::NOT_NEGATIVE)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "expected key=value".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

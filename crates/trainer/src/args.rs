//! What is typed: commands, options, and what they say in `--help`.

mod numbers;
mod recording;
mod training;

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use epsiloscope_recorder::Mode;

use numbers::positive;

pub(crate) use recording::{RecordingOptions, Switch};
pub(crate) use training::{DeviceChoice, Model, OptimizerName, TrainingOptions};

const EXAMPLES: &str = "\
Examples:
  Calibrate on the images that the project carries: one epoch, frozen weights
    epsiloscope-record calibrate --out runs/calibration
  Train and record with another optimizer and ε
    epsiloscope-record train --optimizer adabelief --epsilon 1e-12 --out runs/a
  A language model with clipped gradients, on the text that the project carries
    epsiloscope-record train --model lstm --lr 3e-3 --clip-norm 1 --epochs 3 \\
      --metrics lstm.csv --out runs/lstm
  Translation of number words, four batches to a step
    epsiloscope-record train --model seq2seq --batch-size 16 \\
      --gradient-accumulation 4 --out runs/seq2seq
  More images, on a GPU, every element of the convolutions at every tenth step
    epsiloscope-record train --model resnet18 --data DIR --device cuda:0 \\
      --magnitudes all --include '*conv*' --every 10 --out runs/b
  What that would weigh, before it is done
    epsiloscope-record estimate-size train --model resnet18 --data DIR \\
      --magnitudes all --include '*conv*' --every 10
  What recording costs on this machine, as a ratio of training times
    epsiloscope-record estimate-cost train --model lstm
";

/// Trains reference networks on images, text or translations and records their gradient magnitudes.
#[derive(Debug, Parser)]
#[command(name = "epsiloscope-record", version, before_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Record(Recording),
    /// Says what a recording would weigh: trains a few steps, records them, extrapolates, and keeps nothing.
    ///
    /// Histograms widen while weights move: where few of many steps are tried, `histograms` will outgrow its estimate.
    #[command(before_help = EXAMPLES)]
    EstimateSize(EstimateArgs),
    /// Says what recording costs here: trains with and without it in turn, beside what other tools count, and keeps
    /// nothing.
    #[command(before_help = EXAMPLES)]
    EstimateCost(EstimateCostArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recording {
    /// Records with the weights frozen at their initial values; dropout and shuffling are on.
    #[command(before_help = EXAMPLES)]
    Calibrate(Options),
    /// Records while the weights are trained.
    #[command(before_help = EXAMPLES)]
    Train(Options),
}

impl Recording {
    pub(crate) fn options(&self) -> &Options {
        match self {
            Self::Calibrate(options) | Self::Train(options) => options,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Calibrate(_) => Mode::Calibration,
            Self::Train(_) => Mode::Monitoring,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct EstimateArgs {
    #[command(subcommand)]
    pub(crate) recording: Recording,

    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EstimateCostArgs {
    #[command(subcommand)]
    pub(crate) recording: Recording,

    /// Seconds that each contender trains at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 3.0, value_parser = positive, allow_negative_numbers = true, global = true)]
    pub(crate) secs: f64,

    /// How many times each has its turn; ratios are medians over these.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub(crate) rounds: u32,

    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// One object.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The run directory to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Replace an earlier run in --out and an earlier file --metrics.
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// A CSV file for the metrics on held-out data, which training computes at the end of every epoch: epoch, step,
    /// metric, value. The run's table `scalars` has them too.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,

    /// What to learn from. Images: a directory of IDX files, gzipped or not, named as MNIST and Fashion-MNIST name them
    /// [default: data/fashion-mnist-subset]. Language models: a text [default: data/opticks/opticks.txt]. seq2seq: lines
    /// of `source<TAB>target` [default: English and German number words]. The last tenth of text and lines is
    /// held out.
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) training: TrainingOptions,

    #[command(flatten)]
    pub(crate) recording: RecordingOptions,
}

/// Reads the command line.
///
/// # Errors
/// What clap found, help and version included.
pub(crate) fn parse() -> Result<Args, clap::Error> {
    Args::from_arg_matches(&command().try_get_matches()?)
}

/// What is only estimated needs no place: nothing is written there.
fn command() -> clap::Command {
    let no_place = |recording: clap::Command| {
        recording
            .mut_arg("out", |out| out.required(false).default_value("run").help("Left alone"))
            .mut_arg("overwrite", |overwrite| overwrite.hide(true))
            .mut_arg("metrics", |metrics| metrics.hide(true))
    };
    let estimate = |estimate: clap::Command| {
        ["calibrate", "train"].iter().fold(estimate, |estimate, name| estimate.mut_subcommand(name, no_place))
    };
    Args::command().mut_subcommand("estimate-size", estimate).mut_subcommand("estimate-cost", estimate)
}

/// The name by which a value is chosen.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}

//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use epsiloscope_report::Format;

use crate::compact::CompactArgs;
use crate::diff::DiffArgs;
use crate::estimate::EstimateArgs;
use crate::histogram::HistogramArgs;
use crate::verify::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  epsiloscope estimate runs/*                   where ε is worth searching
  epsiloscope estimate runs/* --per tensor      the bounds each tensor would set
  epsiloscope histogram runs/* --out analysis   histogram tables, as Parquet
  epsiloscope inspect runs/mine                 what was recorded, sizes, health
  epsiloscope diff runs/a runs/b                how far two runs lie apart, tensor by tensor
  epsiloscope verify runs/*                     whether runs are sound
  epsiloscope compact runs/mine                 many small part files into few
  epsiloscope record train --out runs/mine      train a network and record it
";

/// Reads recorded gradient magnitudes and says where ε of an Adam-family optimizer is worth searching
#[derive(Parser)]
#[command(name = "epsiloscope", version, before_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Estimate the search space of ε
    Estimate(EstimateArgs),
    /// Build gradient magnitude histograms as a table
    Histogram(HistogramArgs),
    /// Show what a run holds: settings, losses, files, sizes, health of each tensor
    Inspect(InspectArgs),
    /// Say how far the magnitudes of two runs lie apart
    Diff(DiffArgs),
    /// Check runs: files, digests, rows and sums; repairs nothing
    Verify(VerifyArgs),
    /// Rewrite the many small part files of runs into few
    Compact(CompactArgs),
    /// Train a reference network and record it, by the separate program epsiloscope-record
    #[command(disable_help_flag = true)]
    Record(RecordArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Runs to read.
#[derive(clap::Args)]
pub(crate) struct RunsArg {
    /// Directories of recorded runs, or directories that contain some
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
}

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope inspect runs/mine
  epsiloscope inspect runs/mine --view tensors --format json
  epsiloscope inspect runs/mine --view steps --format csv > steps.csv
")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) runs: RunsArg,
    /// Which table to show [default: everything as text, tensors in other formats]
    #[arg(long, value_enum)]
    pub(crate) view: Option<View>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(clap::Args)]
pub(crate) struct RecordArgs {
    /// Arguments of epsiloscope-record
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// How results are written to standard output.
#[derive(clap::Args)]
pub(crate) struct FormatArg {
    /// table, json, csv or parquet
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Per {
    Run,
    Tensor,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    Files,
    Tensors,
    Steps,
    Scalars,
}

pub(crate) fn percentile(text: &str) -> Result<f64, String> {
    number_in(text, |p| 0.5 < p && p < 1.0, "a number between 0.5 and 1")
}

pub(crate) fn decay_rate(text: &str) -> Result<f64, String> {
    number_in(text, |rate| (0.0..1.0).contains(&rate), "a number from 0 to below 1")
}

pub(crate) fn number_in(text: &str, holds: fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&number| holds(number)).ok_or_else(|| format!("expected {expected}"))
}

//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use epsiloscope_analysis::limits::{self, Limit};
use epsiloscope_analysis::{At, Combination, EstimateOptions, ReadFrom};
use epsiloscope_moments::Convention;
use epsiloscope_report::Format;

use crate::analyze::AnalyzeArgs;
use crate::candidates::CandidatesArgs;
use crate::compact::CompactArgs;
use crate::diff::DiffArgs;
use crate::drift::{DriftArgs, SpreadArgs};
use crate::estimate::EstimateArgs;
use crate::export::ExportArgs;
use crate::histogram::HistogramArgs;
use crate::import::ImportArgs;
use crate::plot::PlotArgs;
use crate::query::QueryArgs;
use crate::report::ReportArgs;
use crate::schema::SchemaArgs;
use crate::search::SearchArgs;
use crate::show::ShowArgs;
use crate::verify::VerifyArgs;
use crate::watch::WatchArgs;

const EXAMPLES: &str = "\
Examples:
  epsiloscope estimate runs/*                   where ε is worth searching
  epsiloscope estimate runs/* --per tensor      the bounds each tensor would set
  epsiloscope analyze runs --out analysis       all of it for all runs below, as a data set
  epsiloscope candidates runs/mine              which ε to try, each with its learning rate
  epsiloscope export runs/mine --to optuna      the search space as Optuna, Ray Tune, W&B and others read it
  epsiloscope drift runs/*                      how the bounds move in training
  epsiloscope histogram runs/* --out tables     histogram tables, as Parquet
  epsiloscope report runs/* --out report.html   all of it to look at, in one HTML file
  epsiloscope plot runs/mine --out mine.svg     the same as figures, SVG or PNG
  epsiloscope show runs/mine                    the same in the terminal
  epsiloscope watch runs/mine                   the same while it is recorded
  epsiloscope query 'SELECT …' runs/*           any question, in SQL
  epsiloscope search --space runs/mine …        the best ε, by your own command
  epsiloscope inspect runs/mine                 what was recorded, sizes, health
  epsiloscope diff runs/a runs/b                how far two runs lie apart, tensor by tensor
  epsiloscope verify runs/*                     whether runs are sound
  epsiloscope compact runs/mine                 many small part files into few
  epsiloscope import tensorboard logs --out runs/old   runs of histograms and gradients kept elsewhere
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
    /// Say what values of ε do, and which to try at which learning rate
    Candidates(CandidatesArgs),
    /// Show how bounds of ε move along runs, and whether calibrations foretold them
    Drift(DriftArgs),
    /// Show how bounds of ε differ from seed to seed of one configuration
    Spread(SpreadArgs),
    /// Bring a data set of all results of all runs up to date
    Analyze(AnalyzeArgs),
    /// Build gradient magnitude histograms as a table
    Histogram(HistogramArgs),
    /// Make runs of TensorBoard's histograms, or of gradients kept as npz or safetensors
    Import(ImportArgs),
    /// Show what a run holds: settings, losses, files, sizes, health of each tensor
    Inspect(InspectArgs),
    /// Write the search space of ε for Optuna, Ray Tune, W&B and others
    Export(ExportArgs),
    /// Write one HTML file to look at: histograms through training, and what any ε does
    Report(ReportArgs),
    /// Draw figures as SVG or PNG: heat maps, histograms, bounds, search spaces
    Plot(PlotArgs),
    /// Draw a run in the terminal
    Show(ShowArgs),
    /// Follow a run while it is recorded
    Watch(WatchArgs),
    /// Ask runs or a data set in SQL
    Query(QueryArgs),
    /// Find the best ε inside the search space, by running a command
    Search(SearchArgs),
    /// Say how far the magnitudes of two runs lie apart
    Diff(DiffArgs),
    /// Check runs: files, digests, rows and sums; repairs nothing
    Verify(VerifyArgs),
    /// Rewrite the many small part files of runs into few
    Compact(CompactArgs),
    /// Train a reference network and record it, by the separate program epsiloscope-record
    #[command(disable_help_flag = true)]
    Record(RecordArgs),
    /// List the columns of every table, of runs and of results
    Schema(SchemaArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Runs to read.
#[derive(clap::Args)]
pub(crate) struct RunsArg {
    /// Recorded runs, folders that contain some, patterns such as 'runs/**/seed-*', all of it also as URLs (s3://,
    /// gs://, az://, https://); - for names on standard input
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
}

/// Whose critical ε, at which decay rates.
#[derive(clap::Args)]
pub(crate) struct WhoseArgs {
    /// Optimizers, each with the ε of an implementation: adam, adamw, nadam, optax-adam, optax-eps-root, amsgrad, radam,
    /// keras-adam, rmsprop, tf-rmsprop, optax-rmsprop, rmsprop-centered, adagrad, adabelief, adamomentum, eadam, yogi
    /// [default: those of adam, rmsprop, adabelief, adamomentum that the run tells of]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    optimizer: Vec<Convention>,
    /// Share of each tensor's elements that its upper bound leaves below it, and its lower bound above it
    #[arg(long, default_value_t = 0.98, value_parser = percentile, value_name = "P")]
    percentile: f64,
    /// Decay rate of the first moment [default: as recorded, else 0.9]
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta1: Option<f64>,
    /// Decay rate of the second moment [default: as recorded, else 0.999]
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta2: Option<f64>,
    /// What critical ε are read off: moments, or gradient, the histograms of gradients alone (docs/import.md)
    /// [default: gradient for runs imported from histograms, else moments]
    #[arg(long, value_enum, value_name = "WHAT")]
    from: Option<From>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Moments,
    Gradient,
}

impl WhoseArgs {
    /// The optimizers that were named.
    pub(crate) fn asked(&self) -> &[Convention] {
        &self.optimizer
    }

    /// Estimates after some steps, everything else as usual.
    pub(crate) fn options(&self, at: At) -> EstimateOptions {
        EstimateOptions {
            at,
            beta1: self.beta1,
            beta2: self.beta2,
            read_from: self.from.map(|from| match from {
                From::Moments => ReadFrom::Moments,
                From::Gradient => ReadFrom::Gradients,
            }),
            percentile: self.percentile,
            ..EstimateOptions::of_optimizers(&self.optimizer)
        }
    }
}

/// Which search space over a run.
#[derive(clap::Args)]
pub(crate) struct CombinationArg {
    /// How the tensors' bounds become one: extremes (the paper's), pooled (all elements together), robust (extremes without
    /// outliers)
    #[arg(long, default_value = "extremes", value_name = "NAME")]
    pub(crate) combination: Combination,
}

/// Each of some values once, in the order of reports.
pub(crate) fn distinct<T: Clone, K: Ord>(values: &[T], place: impl Fn(&T) -> K + Copy) -> Vec<T> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable_by_key(place);
    distinct.dedup_by_key(|value| place(value));
    distinct
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

fn percentile(text: &str) -> Result<f64, String> {
    within(text, limits::PERCENTILE)
}

pub(crate) fn decay_rate(text: &str) -> Result<f64, String> {
    within(text, limits::DECAY_RATE)
}

pub(crate) fn confidence(text: &str) -> Result<f64, String> {
    within(text, limits::CONFIDENCE)
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    within(text, limits::POSITIVE)
}

pub(crate) fn number_in(text: &str, holds: fn(f64) -> bool, expected: &'static str) -> Result<f64, String> {
    within(text, Limit::new(holds, expected))
}

/// What is no number is beyond every limit.
pub(crate) fn within(text: &str, limit: Limit) -> Result<f64, String> {
    limit.check(text.parse().unwrap_or(f64::NAN)).map_err(|beyond| beyond.to_string())
}

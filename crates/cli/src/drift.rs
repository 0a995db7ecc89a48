//! `epsiloscope drift` and `epsiloscope spread`

use std::process::ExitCode;

use epsiloscope_analysis::drift::drift_table;
use epsiloscope_analysis::grouping::Scope;
use epsiloscope_analysis::spread::spread_table;
use epsiloscope_analysis::{At, BoundsAt, Combination, EstimateOptions, drift, estimate, spread};
use polars::prelude::DataFrame;

use crate::args::{FormatArg, RunsArg, WhoseArgs, confidence, distinct};
use crate::output;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope drift runs/*
  epsiloscope drift runs/calibration runs/training --optimizer adam
  epsiloscope drift runs/* --format csv > drift.csv
")]
pub(crate) struct DriftArgs {
    #[command(flatten)]
    along: AlongArgs,
}

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope spread runs/*
  epsiloscope spread runs/seed-* --optimizer adam --format json
")]
pub(crate) struct SpreadArgs {
    #[command(flatten)]
    along: AlongArgs,
    /// Probability with which the bootstrap's interval holds the mean bound
    #[arg(long, default_value_t = 0.95, value_parser = confidence, value_name = "SHARE")]
    confidence: f64,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

/// Which bounds, of which runs.
#[derive(clap::Args)]
struct AlongArgs {
    #[command(flatten)]
    runs: RunsArg,
    #[command(flatten)]
    whose: WhoseArgs,
    /// After which steps: last, epoch (the last of each), every:N, all (that the recorder took critical ε after), or a step
    #[arg(long, default_value_t = At::Epoch, value_name = "STEPS")]
    at: At,
    /// Bounds of the run, or of each kind of parameter, layer or tensor
    #[arg(long, default_value_t = Scope::Run, value_name = "SCOPE")]
    per: Scope,
    /// How the tensors' bounds become one: extremes (the paper's), pooled (all elements together), robust (extremes without
    /// outliers)
    #[arg(long, value_delimiter = ',', default_value = "extremes", value_name = "NAME")]
    combination: Vec<Combination>,
    #[command(flatten)]
    format: FormatArg,
}

pub(crate) fn run(args: &DriftArgs) -> anyhow::Result<ExitCode> {
    print(&args.along, |bounds| Ok(drift_table(&drift(bounds))?))
}

pub(crate) fn run_spread(args: &SpreadArgs) -> anyhow::Result<ExitCode> {
    print(&args.along, |bounds| Ok(spread_table(&spread(bounds, args.confidence, args.seed))?))
}

fn print(args: &AlongArgs, table: impl Fn(&[BoundsAt]) -> anyhow::Result<DataFrame>) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let options = EstimateOptions {
        scopes: vec![args.per],
        combinations: distinct(&args.combination, |&combination| combination),
        ..args.whose.options(args.at)
    };
    let outcome =
        for_each(&args.runs.runs, |run| Ok(BoundsAt::of_estimates(run.manifest(), &estimate(run, &options)?)));
    let bounds: Vec<BoundsAt> = outcome.results.into_iter().flatten().collect();
    if !bounds.is_empty() {
        output::print(&table(&bounds)?, format)?;
    }
    Ok(outcome.status)
}

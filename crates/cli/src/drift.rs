//! `epsiloscope drift` and `epsiloscope spread`

use std::process::ExitCode;

use epsiloscope_analysis::drift::drift_table;
use epsiloscope_analysis::spread::spread_table;
use epsiloscope_analysis::{BoundsAt, EstimateOptions, drift, estimate, spread};
use epsiloscope_moments::Optimizer;
use polars::prelude::DataFrame;

use crate::args::{FormatArg, RunsArg, number_in};
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
    /// Optimizers [default: adam, rmsprop, adabelief, adamomentum]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    optimizer: Vec<Optimizer>,
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
    let mut options = EstimateOptions::default();
    if !args.optimizer.is_empty() {
        options.optimizers.clone_from(&args.optimizer);
    }
    let outcome =
        for_each(&args.runs.runs, |run| Ok(BoundsAt::of_estimates(run.manifest(), &estimate(run, &options)?)));
    let bounds: Vec<BoundsAt> = outcome.results.into_iter().flatten().collect();
    if !bounds.is_empty() {
        output::print(&table(&bounds)?, format)?;
    }
    Ok(output::status(outcome.any_fault))
}

fn confidence(text: &str) -> Result<f64, String> {
    number_in(text, |share| 0.0 < share && share < 1.0, "a number between 0 and 1")
}

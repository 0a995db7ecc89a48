//! `epsiloscope estimate`

use std::process::ExitCode;

use epsiloscope_analysis::estimate_tables::{SHORT_COLUMNS, estimate_table};
use epsiloscope_analysis::grouping::Scope;
use epsiloscope_analysis::{At, Combination, EstimateOptions, estimate};
use epsiloscope_format::Run;
use epsiloscope_report::{Format, write_verdict};
use polars::prelude::DataFrame;

use crate::args::{FormatArg, RunsArg, WhoseArgs, confidence, distinct};
use crate::output;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope estimate runs/mine
  epsiloscope estimate runs/* --optimizer adam,keras-adam --per layer
  epsiloscope estimate runs/mine --at epoch --combination extremes,robust,pooled --format csv
  epsiloscope estimate runs/* --format json | jq '.[] | {run, search_lower}'
")]
pub(crate) struct EstimateArgs {
    #[command(flatten)]
    runs: RunsArg,
    #[command(flatten)]
    whose: WhoseArgs,
    /// After which steps: last, epoch (the last of each), every:N, all (that the recorder took critical ε after), or a step
    #[arg(long, default_value_t = At::Last, value_name = "STEPS")]
    at: At,
    /// One row per run, or per kind of parameter, layer or tensor
    #[arg(long, default_value_t = Scope::Run, value_name = "SCOPE")]
    per: Scope,
    /// How the tensors' bounds become one: extremes (the paper's), pooled (all elements together), robust (extremes without
    /// outliers) [default: extremes, for people; all three in other formats]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    combination: Vec<Combination>,
    /// Probability with which the intervals of a sample hold
    #[arg(long, default_value_t = 0.95, value_parser = confidence, value_name = "P")]
    confidence: f64,
    /// Resamples behind bootstrap intervals, 0 for none
    #[arg(long, default_value_t = 1000, value_name = "N")]
    bootstrap: u32,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    #[command(flatten)]
    format: FormatArg,
}

pub(crate) fn run(args: &EstimateArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let options = options(args);
    let is_for_people = format == Format::Table;
    let is_verdict = is_for_people && args.per == Scope::Run && options.combinations == [Combination::Extremes];
    if !is_verdict {
        let table = |run: &Run| Ok(estimate_table(&estimate(run, &options)?)?);
        let shown = |table: DataFrame| if is_for_people { Ok(table.select(SHORT_COLUMNS)?) } else { Ok(table) };
        return output::print_each(&args.runs.runs, format, |run| table(run).and_then(shown));
    }
    output::print_first(&args.runs.runs, |run| Ok(estimate(run, &options)?), write_verdict)
}

fn options(args: &EstimateArgs) -> EstimateOptions {
    let mut options = EstimateOptions {
        scopes: vec![args.per],
        confidence: args.confidence,
        bootstrap: args.bootstrap,
        seed: args.seed,
        ..args.whose.options(args.at)
    };
    if !args.combination.is_empty() {
        options.combinations = distinct(&args.combination, |&combination| combination);
    } else if args.format.format != Format::Table {
        options.combinations = Combination::ALL.to_vec();
    }
    options
}

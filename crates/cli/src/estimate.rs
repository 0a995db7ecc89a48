//! `epsiloscope estimate`

use std::io::Write;
use std::process::ExitCode;

use epsiloscope_analysis::estimate_tables::{SHORT_COLUMNS, estimate_table};
use epsiloscope_analysis::grouping::Scope;
use epsiloscope_analysis::{At, Combination, Estimate, EstimateOptions, estimate};
use epsiloscope_moments::Convention;
use epsiloscope_report::{Format, write_verdict};

use crate::args::{FormatArg, RunsArg, decay_rate, number_in, percentile};
use crate::output;
use crate::runs::for_each;

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
    /// Optimizers, each with the ε of an implementation: adam, adamw, nadam, optax-adam, optax-eps-root, amsgrad, radam,
    /// keras-adam, rmsprop, tf-rmsprop, optax-rmsprop, rmsprop-centered, adagrad, adabelief, adamomentum, eadam, yogi
    /// [default: adam, rmsprop, adabelief, adamomentum]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    optimizer: Vec<Convention>,
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
    /// Share of each tensor's elements that its upper bound leaves below it, and its lower bound above it
    #[arg(long, default_value_t = 0.98, value_parser = percentile, value_name = "P")]
    percentile: f64,
    /// Decay rate of the first moment [default: as recorded, else 0.9]
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta1: Option<f64>,
    /// Decay rate of the second moment [default: as recorded, else 0.999]
    #[arg(long, value_parser = decay_rate, value_name = "RATE")]
    beta2: Option<f64>,
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
    let outcome = for_each(&args.runs.runs, |run| Ok(estimate(run, &options)?));
    let estimates: Vec<Estimate> = outcome.results.into_iter().flatten().collect();
    if !estimates.is_empty() {
        let is_verdict = args.per == Scope::Run && options.combinations == [Combination::Extremes];
        if format == Format::Table && is_verdict {
            let mut out = std::io::stdout().lock();
            write_verdict(&estimates, &mut out)?;
            out.flush()?;
        } else {
            let table = estimate_table(&estimates)?;
            let is_for_people = format == Format::Table;
            output::print(&if is_for_people { table.select(SHORT_COLUMNS)? } else { table }, format)?;
        }
    }
    Ok(outcome.status)
}

fn options(args: &EstimateArgs) -> EstimateOptions {
    let mut options = EstimateOptions {
        beta1: args.beta1,
        beta2: args.beta2,
        at: args.at,
        scopes: vec![args.per],
        percentile: args.percentile,
        confidence: args.confidence,
        bootstrap: args.bootstrap,
        seed: args.seed,
        ..EstimateOptions::default()
    };
    if !args.optimizer.is_empty() {
        options.optimizers = distinct(&args.optimizer, |&convention| convention.index());
    }
    if !args.combination.is_empty() {
        options.combinations = distinct(&args.combination, |&combination| combination);
    } else if args.format.format != Format::Table {
        options.combinations = Combination::ALL.to_vec();
    }
    options
}

/// Each of some values once, in the order of reports.
fn distinct<T: Clone, K: Ord>(values: &[T], place: impl Fn(&T) -> K + Copy) -> Vec<T> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable_by_key(place);
    distinct.dedup_by_key(|value| place(value));
    distinct
}

fn confidence(text: &str) -> Result<f64, String> {
    number_in(text, |p| 0.0 < p && p < 1.0, "a number between 0 and 1")
}

//! `epsiloscope candidates`

use std::process::ExitCode;

use clap::ValueEnum;
use epsiloscope_analysis::effect_tables::{candidate_table, narrowing_table};
use epsiloscope_analysis::grouping::Scope;
use epsiloscope_analysis::{At, CandidateOptions, TrialRange, candidates};
use epsiloscope_report::{Format, write_candidates};

use crate::args::{CombinationArg, FormatArg, RunsArg, WhoseArgs, positive};
use crate::output;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope candidates runs/mine                          a grid of ε to try, each with its learning rate
  epsiloscope candidates runs/mine --epsilon 1e-8,1e-4      what these would do
  epsiloscope candidates runs/* --points 4 --format csv     four points per run and optimizer
  epsiloscope candidates runs/mine --combination robust     a grid without outlying tensors
  epsiloscope candidates runs/* --view narrowing            how many times narrower than trial and error
")]
pub(crate) struct CandidatesArgs {
    #[command(flatten)]
    runs: RunsArg,
    #[command(flatten)]
    whose: WhoseArgs,
    /// After which steps: last, epoch (the last of each), every:N, all (that the recorder took critical ε after), or a step
    #[arg(long, default_value_t = At::Last, value_name = "STEPS")]
    at: At,
    #[command(flatten)]
    combination: CombinationArg,
    /// Values of ε to look at [default: a grid over the search space]
    #[arg(long, value_delimiter = ',', value_parser = positive, value_name = "EPSILON", conflicts_with = "points")]
    epsilon: Vec<f64>,
    /// Learning rate at the run's own ε [default: the run's]
    #[arg(long, value_parser = positive, value_name = "RATE")]
    lr: Option<f64>,
    /// Points of the grid, evenly apart in decades [default: every power of ten]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    points: Option<u16>,
    /// Shares and rates over each tensor, layer or kind of parameters, or over the run
    #[arg(long, default_value = "run", value_name = "SCOPE")]
    per: Scope,
    /// What the search space is compared with: images, language (the paper's experiments), or a range like 1e-8..1e-1
    #[arg(long, default_value = "images", value_name = "RANGE")]
    range: TrialRange,
    /// Which table to show
    #[arg(long, value_enum, default_value_t = View::Candidates)]
    view: View,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum View {
    /// What each ε does
    Candidates,
    /// How much narrower the search space is than trial and error
    Narrowing,
}

pub(crate) fn run(args: &CandidatesArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let options = options(args);
    let table = match args.view {
        View::Candidates => candidate_table,
        View::Narrowing => narrowing_table,
    };
    if (args.view, format) != (View::Candidates, Format::Table) {
        return output::print_each(&args.runs.runs, format, |run| Ok(table(&candidates(run, &options)?)?));
    }
    output::print_first(&args.runs.runs, |run| Ok(candidates(run, &options)?), write_candidates)
}

fn options(args: &CandidatesArgs) -> CandidateOptions {
    CandidateOptions {
        estimate: args.whose.options(args.at),
        scope: args.per,
        combination: args.combination.combination,
        epsilons: args.epsilon.clone(),
        points: args.points.map(usize::from),
        learning_rate: args.lr,
        trial_range: args.range,
    }
}

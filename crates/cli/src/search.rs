//! `epsiloscope search`

mod plan;
mod progress;
mod shown;
mod space;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::ValueEnum;
use epsiloscope_analysis::TrialRange;
use epsiloscope_format::publish;
use epsiloscope_moments::Convention;
use epsiloscope_report::{Format, frame};
use epsiloscope_search::{Ended, Search, Summary, optuna_script, points_table, summary_table, trials_table};

use crate::args::{CombinationArg, FormatArg, number_in, positive};
use crate::search::plan::Plan;
use crate::search::progress::Progress;
use crate::{FAULT, PARTIAL, output, runs};

/// As shells say that SIGINT ended a program.
const INTERRUPTED: u8 = 130;
/// The program for Optuna.
const SCRIPT: &str = "search_optuna.py";

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope search --space runs/mine --run 'python train.py --eps {epsilon}' --metric val_loss --out search
  epsiloscope search --space analysis --optimizer adam --param epsilon --param lr:1e-4..1e-1 --seeds 3 --jobs 2 \\
    --run 'python train.py --eps {epsilon} --lr {lr} --seed {seed}' --metric 'val_loss=([0-9.e+-]+)' --out search
  epsiloscope search --space runs/mine --strategy grid --param lr --run './train {epsilon} {lr}' --metric accuracy \\
    --maximize --out search                                 the grid of `candidates`, each ε with its learning rate
  epsiloscope search --space epsilon:1e-6..1e-2 --strategy random --trials 30 --run … --metric … --out search
  epsiloscope search --space runs/mine --strategy optuna --run … --metric … --out search    a program for Optuna

The same command again takes a search up where it was interrupted; see docs/search.md.
")]
pub(crate) struct SearchArgs {
    /// Where ε is searched: a run, folders of runs, a data set that `analyze` made, or a range such as epsilon:1e-6..1e-2
    #[arg(long, value_name = "RUN|ANALYSIS|NAME:LOW..HIGH")]
    space: Option<String>,
    /// What is varied, may be repeated: NAME:LOW..HIGH, with :linear or :log after it if need be; NAME:A,B,C; a NAME alone
    /// is ε over --space [default: epsilon], and in grids `lr` alone each ε's matched learning rate
    #[arg(long, value_name = "PARAMETER")]
    param: Vec<String>,
    /// The command, for `sh -c`: {name} of each parameter, {seed}, {trial} and {dir}, a folder of the trial's own; {{ and }}
    /// are braces. Also in the environment, as `EPSILOSCOPE_NAME`
    #[arg(long, value_name = "COMMAND")]
    run: String,
    /// Where its value stands in standard output: a regular expression, of whose last match the first group counts; or the
    /// name in front of the number
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    metric: String,
    /// Small values are better, as without either option
    #[arg(long, conflicts_with = "maximize")]
    minimize: bool,
    /// Great values are better
    #[arg(long)]
    maximize: bool,
    /// A folder for trials, their output and the table of them
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How points are chosen
    #[arg(long, value_enum, default_value_t = StrategyName::CrossEntropy)]
    strategy: StrategyName,
    /// Points to try; of cross-entropy at most [default: 60, random and optuna 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// Grid: values of each range [default: powers of ten, five on linear axes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    points: Option<u16>,
    /// Of the choice of points; also the first {seed}
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
    /// Trials per point, with {seed} one apart
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Trials at a time; what is tried does not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Ends a trial after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    timeout: Option<f64>,
    /// Ends a trial that prints more than this, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    max_output: u32,
    /// When a search is taken up, runs trials that failed again
    #[arg(long)]
    retry_failed: bool,
    /// Cross-entropy: candidates per generation
    #[arg(long, value_name = "N", default_value_t = 10)]
    population: u16,
    /// Cross-entropy: the share of them that is elite
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share)]
    elite: f64,
    /// Cross-entropy: how far the distribution moves to the elite's, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.7, value_parser = smoothing)]
    smoothing: f64,
    /// Cross-entropy: ends when no deviation is greater, in decades, or in widths of a linear range
    #[arg(long, value_name = "DECADES", default_value_t = 0.1, value_parser = share)]
    tolerance: f64,
    /// Whose ε it is [default: that of the run's optimizer, else adam]
    #[arg(long, value_name = "NAME")]
    optimizer: Option<Convention>,
    #[command(flatten)]
    combination: CombinationArg,
    /// What the search is compared with: images, language (the paper's experiments), or a range like 1e-8..1e-1
    #[arg(long, default_value = "images", value_name = "RANGE")]
    range: TrialRange,
    /// Which table to show
    #[arg(long, value_enum, default_value_t = View::Points)]
    view: View,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyName {
    /// The cross-entropy method: draws from a distribution that narrows around the best
    CrossEntropy,
    /// The grid that `candidates` recommends, or powers of ten
    Grid,
    /// Points spread evenly at random
    Random,
    /// Writes a Python program that searches with Optuna, and runs nothing
    Optuna,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum View {
    /// Every point, the best first
    Points,
    /// Every run of the command
    Trials,
    /// One row
    Summary,
}

pub(crate) fn run(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let plan = Plan::of(args)?;
    for parameter in &plan.settings.parameters {
        if !plan.settings.template.mentions(parameter) {
            runs::report(&anyhow::anyhow!(
                "{} does not stand in --run: expected the command to read {}",
                parameter.name(),
                parameter.variable()
            ));
        }
    }
    if args.strategy == StrategyName::Optuna {
        return write_script(args, &plan);
    }
    let stop = stop_on_signals()?;
    let mut search = Search::open(&args.out, plan.settings.clone())?;
    if args.retry_failed {
        search.forget_failed();
    }
    let mut progress = Progress::new(&plan.settings);
    let ended = search.run(args.jobs.into(), &stop, &mut progress);
    progress.finish();
    let ended = ended?;
    let summary = Summary::of(&search, plan.wide.as_ref());
    print(args, &plan, &search, &summary, ended)?;
    Ok(status(args, ended, &summary))
}

fn status(args: &SearchArgs, ended: Ended, summary: &Summary) -> ExitCode {
    let [_, _, _, n_failed] = summary.n_by_status;
    if ended == Ended::Interrupted {
        let again = "interrupted: the same command takes it up again";
        runs::report(&anyhow::anyhow!("{}: {again}", args.out.display()));
        return ExitCode::from(INTERRUPTED);
    }
    match summary.best() {
        None => {
            runs::report(&anyhow::anyhow!("{}: no point has a value", args.out.display()));
            ExitCode::from(FAULT)
        }
        Some(_) if 0 < n_failed => ExitCode::from(PARTIAL),
        Some(_) => ExitCode::SUCCESS,
    }
}

fn print(args: &SearchArgs, plan: &Plan, search: &Search, summary: &Summary, ended: Ended) -> anyhow::Result<()> {
    let table = match args.view {
        View::Points => points_table(search, summary)?,
        View::Trials => trials_table(search)?,
        View::Summary => summary_table(search, summary)?,
    };
    let table = frame(&table)?;
    if (args.view, args.format.format) != (View::Points, Format::Table) {
        return output::print(&table, args.format.format);
    }
    let mut out = std::io::stdout().lock();
    shown::write(&table, plan, search, summary, ended, &mut out)?;
    Ok(out.flush()?)
}

fn write_script(args: &SearchArgs, plan: &Plan) -> anyhow::Result<ExitCode> {
    fs_err::create_dir_all(&args.out)?;
    let out = std::path::absolute(&args.out)?;
    let script = optuna_script(&plan.settings, &out);
    publish(&args.out, SCRIPT, script.as_bytes()).with_context(|| args.out.display().to_string())?;
    writeln!(std::io::stdout().lock(), "{}", args.out.join(SCRIPT).display())?;
    Ok(ExitCode::SUCCESS)
}

/// Set by the first signal that asks us to end; a second ends us at once, and what we started with us.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // Not of SIGHUP, which nohup has us ignore; where it ends us, what we started ends as well.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn share(text: &str) -> Result<f64, String> {
    number_in(text, |share| 0.0 < share && share < 1.0, "a number between 0 and 1")
}

fn smoothing(text: &str) -> Result<f64, String> {
    number_in(text, |share| 0.0 < share && share <= 1.0, "a number above 0, at most 1")
}

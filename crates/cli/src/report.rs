//! `epsiloscope report`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use epsiloscope_analysis::{At, CandidateOptions, Scope, Window};
use epsiloscope_format::escaped;
use epsiloscope_page::{Options, RunPage, html};

use crate::args::{RunsArg, WhoseArgs, positive};
use crate::output::OutFile;
use crate::runs::for_each_of_many;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope report runs/mine --out report.html              one run: open the file in a browser, offline
  epsiloscope report runs/* --out report.html                 several runs, side by side
  epsiloscope report runs/mine --at epoch --window epoch --out report.html
  epsiloscope report runs/mine --optimizer adamw,keras-adam --per tensor --out report.html
")]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// The HTML file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    whose: WhoseArgs,
    /// After which steps: last, epoch (the last of each), every:N, all (that the recorder took critical ε after), or a step
    #[arg(long, default_value_t = At::Last, value_name = "STEPS")]
    at: At,
    /// Learning rate at the run's own ε [default: the run's]
    #[arg(long, value_parser = positive, value_name = "RATE")]
    lr: Option<f64>,
    /// Steps that one column of the heat map adds: run, epoch, N (every N steps), or A..B (steps A to B) [default: as many
    /// as make at most 240 columns]
    #[arg(long, value_name = "WINDOW")]
    window: Option<Window>,
    /// What the table of the page opens with: tensor, layer, kind or run
    #[arg(long, default_value_t = Scope::Layer, value_name = "SCOPE")]
    per: Scope,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let out = OutFile::at(&args.out)?;
    let options = Options {
        candidates: CandidateOptions {
            estimate: args.whose.options(args.at),
            learning_rate: args.lr,
            ..CandidateOptions::default()
        },
        window: args.window,
        ..Options::default()
    };
    let outcome = for_each_of_many(&args.runs.runs, |run, n_runs| Ok(RunPage::of(run, &options, n_runs)?));
    if !outcome.results.is_empty() {
        let page = html(&outcome.results, args.per);
        out.publish(page.as_bytes())?;
        let n = outcome.results.len();
        let runs = if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
        let size = page.len() as f64 / 1e6;
        writeln!(std::io::stdout(), "{}: {runs}, {size:.1} MB", escaped(&args.out.display().to_string()))?;
    }
    Ok(outcome.status)
}

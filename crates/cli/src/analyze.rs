//! `epsiloscope analyze`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use epsiloscope_analysis::{At, Window};
use epsiloscope_dataset::{DataSet, Options, Update, update_table};
use epsiloscope_format::escaped;
use epsiloscope_report::Format;

use crate::args::{FormatArg, RunsArg, WhoseArgs};
use crate::output;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope analyze runs --out analysis                    everything below runs, as a data set
  epsiloscope analyze runs --out analysis                    tomorrow: computes what is new or has changed
  epsiloscope analyze 's3://bucket/runs/**' --out analysis --at every:100
  duckdb -c \"SELECT * FROM 'analysis/estimates/*/*.parquet' WHERE scope = 'run'\"
")]
pub(crate) struct AnalyzeArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// Directory of the data set; `epsiloscope schema` says what is in it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    whose: WhoseArgs,
    /// Bounds after which steps: last, epoch (the last of each; of runs without epochs, the last), every:N, all (that the
    /// recorder took critical ε after), or a step
    #[arg(long, default_value_t = At::Epoch, value_name = "STEPS")]
    at: At,
    /// Histograms of which steps: run (all), epoch (of runs without epochs, all), every N, or A..B
    #[arg(long, default_value_t = Window::Epoch, value_name = "STEPS")]
    window: Window,
    #[command(flatten)]
    format: FormatArg,
}

/// A run, and what came of it.
type Answer = (String, Update);

pub(crate) fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let options = Options::new(args.whose.options(args.at), args.window);
    let data_set = DataSet::open(&args.out)?;
    let outcome = for_each(&args.runs.runs, |run| Ok((run.manifest().run.clone(), data_set.update(run, &options)?)));
    let names: Vec<String> = outcome.results.iter().map(|(name, _)| name.clone()).collect();
    data_set.compare(&names, &outcome.faults, &options)?;
    match format {
        Format::Table => {
            let mut out = std::io::stdout().lock();
            let folder = escaped(&args.out.display().to_string());
            writeln!(out, "{folder}: {}", summary(&outcome.results, outcome.faults.len()))?;
            out.flush()?;
        }
        _ => output::print(&update_table(&outcome.results)?, format)?,
    }
    Ok(outcome.status)
}

/// `3 runs computed (1204 rows, 88000 bytes), 12 unchanged, 1 not answered, see table faults`
fn summary(answers: &[Answer], n_faults: usize) -> String {
    let n_unchanged = answers.iter().filter(|(_, update)| *update == Update::Unchanged).count();
    let (rows, bytes) = answers.iter().map(|(_, update)| update.size()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let runs = |n: usize| if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
    let mut parts = vec![format!("{} computed ({rows} rows, {bytes} bytes)", runs(answers.len() - n_unchanged))];
    parts.push(format!("{n_unchanged} unchanged"));
    if n_faults > 0 {
        parts.push(format!("{n_faults} not answered, see table faults"));
    }
    parts.join(", ")
}

//! `epsiloscope query`

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use epsiloscope_analysis::At;
use epsiloscope_dataset::{Options, Stored};
use epsiloscope_query::{Answer, Database, needs_no_run};
use epsiloscope_report::{Format, write_frame};
use indicatif::{ProgressBar, ProgressStyle};
use polars::prelude::DataFrame;

use crate::args::{FormatArg, WhoseArgs};
use crate::output::{self, OutFile};
use crate::runs::{self, Outcome};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope query 'SELECT tensor, sum(count) AS n FROM histograms GROUP BY tensor' runs/mine
  epsiloscope query 'SELECT run, max(step) AS steps, min(loss) AS loss FROM steps GROUP BY run' runs
  epsiloscope query \"SELECT run, search_lower, search_upper FROM estimates WHERE scope = 'run'\" analysis
  epsiloscope query 'SELECT * FROM magnitudes LIMIT 10' runs/mine --format csv
  epsiloscope query -f question.sql runs --format parquet --out answer.parquet
  epsiloscope query 'SELECT * FROM bins' --format parquet --out bins.parquet
  epsiloscope query --tables runs/mine
  epsiloscope query --ddl duckdb runs | duckdb views.db
")]
pub(crate) struct QueryArgs {
    // It may begin with a comment, that is with two hyphens.
    /// The statement, a SELECT; unless -f, --tables or --ddl says what to answer
    #[arg(value_name = "SQL", required_unless_present_any = ["file", "tables", "ddl"], allow_hyphen_values = true)]
    sql: Option<String>,
    /// Recorded runs, folders, patterns or URLs of some, - for names on standard input; or a data set that `analyze` made.
    /// The table of bins needs none
    #[arg(value_name = "RUN|ANALYSIS")]
    of: Vec<PathBuf>,
    /// Take the statement from a file, - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["tables", "ddl"])]
    file: Option<PathBuf>,
    /// List tables and columns
    #[arg(long, conflicts_with = "ddl")]
    tables: bool,
    /// Print statements that make views of the same rows in another database
    #[arg(long, value_enum, value_name = "DIALECT")]
    ddl: Option<Dialect>,
    /// Rows of a table that may be kept at a time, in MiB; aggregates of one table need far less
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    memory: usize,
    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    whose: WhoseArgs,
    /// The table `estimates` of runs: after which steps, as for `estimate`
    #[arg(long, default_value_t = At::Last, value_name = "STEPS")]
    at: At,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dialect {
    Duckdb,
}

/// What is asked.
enum Question {
    Statement(String),
    Tables,
    Ddl,
}

/// What is printed.
enum Printed {
    Rows(DataFrame),
    Text(String),
}

pub(crate) fn run(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    if args.out.is_none() && args.ddl.is_none() {
        output::refuse_binary_terminal(args.format.format)?;
    }
    let file = args.out.as_deref().map(OutFile::at).transpose()?;
    let (question, paths) = question(args)?;
    let (database, n_faults) = open(args, &paths)?;
    let Some(database) = database else { return Ok(runs::status(false, n_faults)) };
    let (result, n_left_out) = match question {
        Question::Ddl => (Some(Printed::Text(database.duckdb_views()?)), 0),
        Question::Tables => (Some(Printed::Rows(database.columns()?)), 0),
        Question::Statement(sql) => {
            let (rows, n_left_out) = answered(args, &database, &sql)?;
            (rows.map(Printed::Rows), n_left_out)
        }
    };
    if let Some(result) = &result {
        written(result, args.format.format, file.as_ref())?;
    }
    Ok(runs::status(result.is_some(), n_faults + n_left_out))
}

/// What is asked, and of what.
fn question(args: &QueryArgs) -> anyhow::Result<(Question, Vec<PathBuf>)> {
    // Without a statement on the command line the first word is a run, too.
    let first = || args.sql.iter().map(PathBuf::from).chain(args.of.iter().cloned()).collect::<Vec<_>>();
    let (question, paths) = match (&args.file, &args.sql) {
        _ if args.tables => (Question::Tables, first()),
        _ if args.ddl.is_some() => (Question::Ddl, first()),
        (Some(file), _) => (Question::Statement(text_of(file)?), first()),
        (None, Some(sql)) if Path::new(sql).exists() => {
            bail!("{sql}: a file or directory: expected the statement first")
        }
        (None, Some(sql)) if sql.starts_with('-') && !sql.contains(char::is_whitespace) => {
            bail!("unexpected argument {sql}: expected a statement")
        }
        (None, sql) => (Question::Statement(sql.clone().unwrap_or_default()), args.of.clone()),
    };
    if paths.is_empty() && !matches!(&question, Question::Statement(sql) if needs_no_run(sql)?) {
        bail!("no run: expected some after the statement, or a data set that `epsiloscope analyze` made");
    }
    Ok((question, paths))
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() != "-" {
        return Ok(fs_err::read_to_string(file)?);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

/// The tables of what is there, and how many runs have none; no tables if no run can be opened.
fn open(args: &QueryArgs, paths: &[PathBuf]) -> anyhow::Result<(Option<Database>, usize)> {
    if let [root] = paths
        && Stored::is_one(root)
    {
        return Ok((Some(Database::of_data_set(Stored::new(root))?), 0));
    }
    let Outcome { results: runs, faults, .. } = runs::open_all(paths);
    let is_any = paths.is_empty() || !runs.is_empty();
    let all = Options::default().candidates.estimate;
    let options = epsiloscope_analysis::EstimateOptions {
        scopes: all.scopes,
        combinations: all.combinations,
        ..args.whose.options(args.at)
    };
    Ok((is_any.then(|| Database::of_runs(runs, options)), faults.len()))
}

/// The answer, if any run could be read, and how many runs could not.
fn answered(args: &QueryArgs, database: &Database, sql: &str) -> anyhow::Result<(Option<DataFrame>, usize)> {
    let progress = spinner();
    // What a panic has to say is said in one line.
    let answer = runs::without_panic_messages(|| database.query(sql, args.memory.saturating_mul(1 << 20)));
    progress.finish_and_clear();
    let Answer { frame, faults } = answer?;
    let n_faults = faults.len();
    for fault in faults {
        runs::report(&fault.into());
    }
    Ok((frame, n_faults))
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} reading, {elapsed}");
    let spinner =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// To a file, or else to standard output.
fn written(result: &Printed, format: Format, file: Option<&OutFile<'_>>) -> anyhow::Result<()> {
    if let Some(file) = file {
        let mut bytes = Vec::new();
        result.write(format, &mut bytes)?;
        return file.publish(&bytes);
    }
    let mut out = std::io::stdout().lock();
    result.write(format, &mut out)?;
    Ok(out.flush()?)
}

impl Printed {
    fn write(&self, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Rows(frame) => Ok(write_frame(frame, format, out)?),
            Self::Text(text) => Ok(out.write_all(text.as_bytes())?),
        }
    }
}

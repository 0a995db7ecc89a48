//! `epsiloscope diff`

use std::path::PathBuf;
use std::process::ExitCode;

use epsiloscope_analysis::diff::{DiffOptions, diff_table};
use epsiloscope_analysis::{Scope, Window, diff};
use epsiloscope_format::Run;

use crate::args::FormatArg;
use crate::output;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope diff runs/calibration runs/training
  epsiloscope diff runs/a runs/b --per layer --window epoch --format csv

The distance is how many decades the average magnitude moves from one run's histogram to the other's (Wasserstein, within
1/40 decade); shifts are of the median and of the 2 % and 98 % points. The greatest distances come first.
")]
pub(crate) struct DiffArgs {
    /// The run to compare with
    run_a: PathBuf,
    /// The run that is compared
    run_b: PathBuf,
    /// Tensors whose counts are added: tensor, layer, kind or run
    #[arg(long, default_value_t = Scope::Tensor, value_name = "SCOPE")]
    per: Scope,
    /// Steps whose counts are added: run, epoch, every N steps, or A..B
    #[arg(long, default_value_t = Window::Run, value_name = "WINDOW")]
    window: Window,
    #[command(flatten)]
    format: FormatArg,
}

pub(crate) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    output::refuse_binary_terminal(args.format.format)?;
    let (a, b) = (Run::open(&args.run_a)?, Run::open(&args.run_b)?);
    let differences = diff(&a, &b, DiffOptions { scope: args.per, window: args.window })?;
    output::print(&diff_table(&a, &b, args.per, &differences)?, args.format.format)?;
    Ok(ExitCode::SUCCESS)
}

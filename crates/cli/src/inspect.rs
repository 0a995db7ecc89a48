//! `epsiloscope inspect`

use std::io::Write;
use std::process::ExitCode;

use epsiloscope_analysis::{files, scalars, steps, tensor_health};
use epsiloscope_format::{GRADIENT, Run};
use epsiloscope_report::{Format, Gaps, write_frame, write_run};
use polars::prelude::{IntoLazy, col, lit};

use crate::args::{InspectArgs, View};
use crate::output;

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    if args.view.is_none() && format == Format::Table {
        return output::print_texts(&args.runs.runs, description);
    }
    let view = match args.view {
        Some(View::Files) => files,
        Some(View::Steps) => steps,
        Some(View::Scalars) => scalars,
        Some(View::Tensors) | None => tensor_health,
    };
    output::print_each(&args.runs.runs, format, |run| Ok(view(run)?))
}

/// Everything about a run, as text.
fn description(run: &Run) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let gaps = Gaps { n_orphans: run.orphans()?.len(), missing_steps: run.missing_steps()? };
    write_run(run, &gaps, &mut text)?;
    // The optimizers' quantities repeat the tensors many times over; `--view tensors` has them.
    let gradients = tensor_health(run)?.lazy().filter(col("quantity").eq(lit(GRADIENT))).collect()?;
    for table in [files(run)?, gradients] {
        writeln!(text)?;
        write_frame(&table.drop("run")?, Format::Table, &mut text)?;
    }
    Ok(String::from_utf8(text)?)
}

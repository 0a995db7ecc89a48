//! `epsiloscope inspect`

use std::io::Write;
use std::process::ExitCode;

use epsiloscope_analysis::{files, scalars, steps, tensor_health};
use epsiloscope_format::{GRADIENT, Run};
use epsiloscope_report::{Format, Gaps, write_frame, write_run};
use polars::prelude::{IntoLazy, col, lit};

use crate::args::{InspectArgs, View};
use crate::output;
use crate::runs::for_each;

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    if args.view.is_none() && format == Format::Table {
        return describe(args);
    }
    let view = match args.view {
        Some(View::Files) => files,
        Some(View::Steps) => steps,
        Some(View::Scalars) => scalars,
        Some(View::Tensors) | None => tensor_health,
    };
    let outcome = for_each(&args.runs.runs, |run| Ok(view(run)?));
    if let Some(frame) = output::stacked(outcome.results)? {
        output::print(&frame, format)?;
    }
    Ok(outcome.status)
}

/// Everything about each run, as text.
fn describe(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let outcome = for_each(&args.runs.runs, description);
    let mut out = std::io::stdout().lock();
    out.write_all(outcome.results.join("\n").as_bytes())?;
    out.flush()?;
    Ok(outcome.status)
}

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

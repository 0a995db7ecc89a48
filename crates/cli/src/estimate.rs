//! `epsiloscope estimate`

use std::io::Write;
use std::process::ExitCode;

use epsiloscope_analysis::estimate_tables::{run_table, tensor_table};
use epsiloscope_analysis::{Estimate, EstimateOptions, estimate};
use epsiloscope_report::{Format, write_verdict};

use crate::args::{EstimateArgs, Per};
use crate::output;
use crate::runs::for_each;

pub(crate) fn run(args: &EstimateArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.format;
    output::refuse_binary_terminal(format)?;
    let options = options(args);
    let outcome = for_each(&args.runs.runs, |run| Ok(estimate(run, &options)?));
    let estimates: Vec<Estimate> = outcome.results.into_iter().flatten().collect();
    if !estimates.is_empty() {
        match (args.per, format) {
            (Per::Run, Format::Table) => {
                let mut out = std::io::stdout().lock();
                write_verdict(&estimates, &mut out)?;
                out.flush()?;
            }
            (Per::Run, _) => output::print(&run_table(&estimates)?, format)?,
            (Per::Tensor, _) => output::print(&tensor_table(&estimates)?, format)?,
        }
    }
    Ok(outcome.status)
}

fn options(args: &EstimateArgs) -> EstimateOptions {
    let mut options = EstimateOptions {
        beta1: args.beta1,
        beta2: args.beta2,
        percentile: args.percentile,
        ..EstimateOptions::default()
    };
    if !args.optimizer.is_empty() {
        options.optimizers.clone_from(&args.optimizer);
        options.optimizers.sort_unstable();
        options.optimizers.dedup();
    }
    options
}

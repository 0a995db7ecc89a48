//! `epsiloscope-record`: trains reference networks and records their gradient magnitudes.
//!
//! Apart from libtorch it is an ordinary user of the recorder: [`training`] is the loop to copy into a program of one's
//! own.

mod args;
mod denormals;
mod estimate_cost;
mod estimate_size;
mod train;

mod models;
mod optimizers;
mod recording;
mod schedule;
mod training;
mod workloads;

mod metrics;
mod output;
mod progress;
mod size;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::args::Command;

/// Bad usage or bad input.
const FAULT: u8 = 2;

fn main() -> ExitCode {
    let outcome = match args::parse() {
        Ok(args) => run(&args.command),
        Err(fault) if !fault.use_stderr() || fault.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Help, version: nobody is left to tell if the terminal is gone.
            let _ = fault.print();
            return ExitCode::from(u8::try_from(fault.exit_code()).unwrap_or(FAULT));
        }
        Err(fault) => Err(anyhow::anyhow!(first_paragraph(&fault.to_string()))),
    };
    outcome.unwrap_or_else(|fault| {
        let line = epsiloscope_format::escaped(&format!("{fault:#}"));
        // Without standard error there is nowhere left to tell.
        let _ = writeln!(std::io::stderr(), "epsiloscope-record: {line}");
        ExitCode::from(FAULT)
    })
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Record(recording) => train::run(recording),
        Command::EstimateSize(args) => estimate_size::run(args),
        Command::EstimateCost(args) => estimate_cost::run(args),
    }
}

/// clap's sentence without its `error:` and the usage below, on one line.
fn first_paragraph(text: &str) -> String {
    let lines = text.trim_start_matches("error: ").lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

//! `epsiloscope`: reads recorded runs and says where ε is worth searching.

mod args;
mod completions;
mod estimate;
mod histogram;
mod inspect;
mod output;
mod record;
mod runs;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// Something could not be read or was not understood; everything else was done.
const FAULT: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Command::Estimate(args) => estimate::run(&args),
        Command::Histogram(args) => histogram::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match outcome {
        Ok(status) => status,
        Err(fault) if is_broken_pipe(&fault) => ExitCode::SUCCESS,
        Err(fault) => {
            runs::report(&fault);
            ExitCode::from(FAULT)
        }
    }
}

/// The reader of our output has seen enough.
fn is_broken_pipe(fault: &anyhow::Error) -> bool {
    let io_kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    fault.chain().filter_map(io_kind).any(|kind| kind == ErrorKind::BrokenPipe)
}

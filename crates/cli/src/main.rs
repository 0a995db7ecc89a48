//! `epsiloscope`: reads recorded runs and says where ε is worth searching.

mod analyze;
mod args;
mod candidates;
mod compact;
mod completions;
mod diff;
mod drift;
mod estimate;
mod export;
mod histogram;
mod import;
mod inspect;
mod output;
mod plot;
mod query;
mod record;
mod report;
mod runs;
mod schema;
mod screen;
mod search;
mod show;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mimalloc::MiMalloc;

use crate::args::{Args, Command};

/// Parts are buffers of megabytes that come and go. The system's allocator gives each back to the kernel, which then takes
/// longer to hand out and clear the pages anew than decoding and counting take.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Nothing could be answered, or what was typed was not understood.
const FAULT: u8 = 2;
/// Some runs are answered, and some could not be read.
const PARTIAL: u8 = 4;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(fault) => return refused(&fault),
    };
    let outcome = match args.command {
        Command::Estimate(args) => estimate::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Candidates(args) => candidates::run(&args),
        Command::Drift(args) => drift::run(&args),
        Command::Spread(args) => drift::run_spread(&args),
        Command::Histogram(args) => histogram::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Schema(args) => schema::run(&args),
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

/// Help and version go where clap sends them; a fault is told in one line.
fn refused(fault: &clap::Error) -> ExitCode {
    if !fault.use_stderr() || fault.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody is left to tell if the terminal is gone.
        let _ = fault.print();
        return ExitCode::from(u8::try_from(fault.exit_code()).unwrap_or(FAULT));
    }
    runs::report(&anyhow::anyhow!(first_paragraph(&fault.to_string())));
    ExitCode::from(FAULT)
}

/// clap's sentence without its `error:` and the usage below, on one line.
fn first_paragraph(text: &str) -> String {
    let lines = text.trim_start_matches("error: ").lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The reader of our output has seen enough.
fn is_broken_pipe(fault: &anyhow::Error) -> bool {
    let io_kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    fault.chain().filter_map(io_kind).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

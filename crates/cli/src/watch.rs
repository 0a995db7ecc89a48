//! `epsiloscope watch`

mod observe;
mod page;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{anyhow, ensure};

use crate::FAULT;
use crate::args::number_in;
use crate::runs::{guarded, without_panic_messages};
use crate::screen::shown;
use crate::show::LookingArgs;
use observe::{Seen, State, observed};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope watch runs/mine                     follows a run while it is recorded; q ends it
  epsiloscope watch runs/mine --interval 10 >> mine.log     a line per update
  epsiloscope watch runs/tonight && epsiloscope export runs/tonight --to optuna

Waits for a run that is not there yet, and ends with the run: exit status 0 if it finished, 2 if it did not. What is
shown is read from its files; the training is not touched.
")]
pub(crate) struct WatchArgs {
    /// The directory of the run
    run: PathBuf,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2.0, value_parser = interval, value_name = "SECONDS")]
    interval: f64,
    #[command(flatten)]
    looking: LookingArgs,
}

fn interval(text: &str) -> Result<f64, String> {
    number_in(text, |seconds| (0.05..=86_400.0).contains(&seconds), "a number of seconds from 0.05 to 86400")
}

/// How watching ended.
enum End {
    /// The run will not go on.
    Over(Seen),
    /// Who watched has seen enough.
    Left,
    /// The process was asked to end.
    Signal(i32),
}

pub(crate) fn run(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    ensure!(
        !args.run.to_string_lossy().contains("://"),
        "{}: expected a directory; runs in object stores cannot be watched",
        args.run.display()
    );
    let interval = Duration::from_secs_f64(args.interval);
    // What a panic has to say comes as the fault of the run, and not into the middle of a drawing.
    without_panic_messages(|| {
        let seen = observed(args.run.clone(), args.looking.options(), interval);
        let end = guarded(&args.run, || {
            if std::io::stdout().is_terminal() { page::follow(args, &seen) } else { follow_in_lines(args, &seen) }
        })?;
        ended(&args.run, end)
    })
}

fn ended(run: &Path, end: End) -> anyhow::Result<ExitCode> {
    match end {
        End::Left => Ok(ExitCode::SUCCESS),
        End::Signal(signal) => Ok(ExitCode::from(128 + u8::try_from(signal).unwrap_or(0))),
        End::Over(seen) => match (seen.state, seen.fault) {
            (State::Finished, None) => Ok(ExitCode::SUCCESS),
            (_, Some(fault)) => Err(anyhow!(fault)),
            (state, None) => {
                crate::runs::report(&anyhow!("{}: {}", run.display(), state.in_words()));
                Ok(ExitCode::from(FAULT))
            }
        },
    }
}

/// A line whenever something has changed.
fn follow_in_lines(args: &WatchArgs, all: &Receiver<Seen>) -> anyhow::Result<End> {
    let look = args.looking.screen.look();
    let mut last = String::new();
    for seen in all {
        let line = shown(&seen.line(&args.run), look);
        if line != last {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
            last = line;
        }
        if seen.is_over() {
            return Ok(End::Over(seen));
        }
    }
    Err(anyhow!("{}: nothing looks at it any more", args.run.display()))
}

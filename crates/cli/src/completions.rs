//! `epsiloscope completions`

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Args, CompletionsArgs};

#[expect(clippy::unnecessary_wraps, reason = "every command answers alike")]
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut Args::command(), "epsiloscope", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

//! `epsiloscope record`: runs the separate executable, which needs libtorch.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::args::RecordArgs;

const PROGRAM: &str = "epsiloscope-record";

pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let Some(program) = find() else {
        bail!(
            "{PROGRAM} is not installed: expected it beside epsiloscope or on PATH; \
             it needs libtorch, which scripts/libtorch.sh brings: \
             eval \"$(scripts/libtorch.sh)\" && cargo install --path crates/trainer"
        );
    };
    let status = Command::new(&program).args(&args.args).status().with_context(|| program.display().to_string())?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Beside this program first, as cargo installs both; then on PATH.
fn find() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(PROGRAM))
        .find(|program| program.is_file())
}

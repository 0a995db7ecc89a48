//! `epsiloscope verify`

use std::io::Write;
use std::process::ExitCode;

use epsiloscope_analysis::verify::{Finding, Severity, findings_table, verify};
use epsiloscope_format::{Run, escaped};
use epsiloscope_report::Format;
use polars::prelude::DataFrame;

use crate::FAULT;
use crate::args::{FormatArg, RunsArg};
use crate::output;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope verify runs/*
  epsiloscope verify runs/mine --format json | jq '.[] | select(.severity == \"error\")'

Reads every file and row of each run and holds them against its list, its manifest and each other. Nothing is repaired.
The exit status is 2 if there is an error in any run, 0 if there are none or nothing but warnings.
")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    runs: RunsArg,
    #[command(flatten)]
    format: FormatArg,
}

/// What came of a run.
struct Verified {
    name: String,
    n_errors: usize,
    n_warnings: usize,
    findings: DataFrame,
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    output::refuse_binary_terminal(args.format.format)?;
    let outcome = for_each(&args.runs.runs, verified);
    let any_error = outcome.results.iter().any(|run| 0 < run.n_errors);
    if args.format.format == Format::Table {
        print_verdicts(&outcome.results)?;
    }
    let findings = output::stacked(outcome.results.into_iter().map(|run| run.findings).collect())?;
    if let Some(findings) = findings
        && (0 < findings.height() || args.format.format != Format::Table)
    {
        output::print(&findings, args.format.format)?;
    }
    Ok(if any_error { ExitCode::from(FAULT) } else { outcome.status })
}

fn verified(run: &Run) -> anyhow::Result<Verified> {
    let findings = verify(run)?;
    let count = |severity| findings.iter().filter(|Finding { kind, .. }| kind.severity() == severity).count();
    Ok(Verified {
        name: run.manifest().run.clone(),
        n_errors: count(Severity::Error),
        n_warnings: count(Severity::Warning),
        findings: findings_table(run, &findings)?,
    })
}

/// A line per run, and an empty one before the table of findings.
fn print_verdicts(runs: &[Verified]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for run in runs {
        writeln!(out, "{}: {}", escaped(&run.name), verdict(run))?;
    }
    if runs.iter().any(|run| 0 < run.findings.height()) {
        writeln!(out)?;
    }
    Ok(())
}

fn verdict(run: &Verified) -> String {
    let counted = |n: usize, noun: &str| (0 < n).then(|| format!("{n} {noun}{}", if n == 1 { "" } else { "s" }));
    let parts: Vec<String> =
        [counted(run.n_errors, "error"), counted(run.n_warnings, "warning")].into_iter().flatten().collect();
    if parts.is_empty() { "ok".to_owned() } else { parts.join(", ") }
}

//! `epsiloscope compact`

use std::process::ExitCode;

use epsiloscope_format::{CompactOptions, Compaction, Run, Table, TableTotals, compact, plan_compaction};
use polars::prelude::{DataFrame, df};

use crate::args::{FormatArg, RunsArg};
use crate::output;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope compact runs/mine
  epsiloscope compact runs/* --dry-run

A recorder writes part files every few seconds; a long run has thousands, and opening them is most of the work of reading.
Rows stay as they are. A run that is being recorded is left alone, one that was interrupted can be resumed afterwards.
Programs that read a run's Parquet files meanwhile, without its list of parts, may see rows twice.
")]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// Rows of a part file, at most
    #[arg(long, value_name = "ROWS", default_value_t = CompactOptions::default().part_rows,
          value_parser = clap::value_parser!(u64).range(1..=4 << 20))]
    part_rows: u64,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub(crate) fn run(args: &CompactArgs) -> anyhow::Result<ExitCode> {
    output::refuse_binary_terminal(args.format.format)?;
    let options = CompactOptions { part_rows: args.part_rows };
    let work = if args.dry_run { plan_compaction } else { compact };
    let outcome = for_each(&args.runs.runs, |run| table(run, &work(run.dir(), options)?, args.dry_run));
    if let Some(frame) = output::stacked(outcome.results)? {
        output::print(&frame, args.format.format)?;
    }
    Ok(outcome.status)
}

/// One row per table; of a plan the bytes afterwards are not known.
fn table(run: &Run, compaction: &Compaction, is_plan: bool) -> anyhow::Result<DataFrame> {
    let tables: Vec<Table> = compaction.before.tables.keys().copied().collect();
    let before = |value: fn(&TableTotals) -> u64| {
        tables.iter().map(|table| value(&compaction.before.tables[table]) as i64).collect::<Vec<_>>()
    };
    let after = |value: fn(&TableTotals) -> u64| {
        tables.iter().map(|table| value(&compaction.after.tables[table]) as i64).collect::<Vec<_>>()
    };
    let bytes_after = after(|totals| totals.bytes).into_iter().map(|bytes| (!is_plan).then_some(bytes));
    Ok(df![
        "run" => vec![run.manifest().run.as_str(); tables.len()],
        "table" => tables.iter().map(|table| table.name()).collect::<Vec<_>>(),
        "rows" => before(|totals| totals.rows),
        "parts_before" => before(|totals| totals.parts),
        "parts_after" => after(|totals| totals.parts),
        "bytes_before" => before(|totals| totals.bytes),
        "bytes_after" => bytes_after.collect::<Vec<_>>(),
    ]?)
}

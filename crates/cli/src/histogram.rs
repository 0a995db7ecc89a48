//! `epsiloscope histogram`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use epsiloscope_analysis::histogram_tables::histogram_table;
use epsiloscope_analysis::{HistogramOptions, Origin, Scope, Window, histograms};
use epsiloscope_dataset::{Stored, partition};
use epsiloscope_format::{Run, folder_below, publish};
use epsiloscope_histogram::bins;
use epsiloscope_report::encode_parquet;
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::args::{FormatArg, RunsArg};
use crate::output;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope histogram runs/* --out tables
  epsiloscope histogram runs/mine --per run --format csv > histogram.csv
  epsiloscope histogram runs/mine --per layer --window epoch --bins-per-decade 4 --quantity gradient
  duckdb -c \"FROM 'tables/histograms/*/*.parquet'\"
")]
pub(crate) struct HistogramArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// Write DIR/histograms/run=NAME/part-0.parquet instead of printing; not into a data set of `analyze`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One histogram per tensor, per layer (tensors whose names agree up to the last dot), per kind (weight, bias, norm,
    /// embedding; by name), or one over all tensors: tensor, layer, kind or run
    #[arg(long, default_value_t = Scope::Tensor, value_name = "SCOPE")]
    per: Scope,
    /// Quantities, such as `gradient` or `critical_epsilon.adam` [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    quantity: Vec<String>,
    /// Steps to add: run, epoch, N (every N steps), or A..B (steps A to B)
    #[arg(long, default_value_t = Window::Run, value_name = "WINDOW")]
    window: Window,
    /// 1, 2, 4, 5, 8, 10, 20 or 40
    #[arg(long, default_value_t = bins::BINS_PER_DECADE, value_parser = bins_per_decade, value_name = "N")]
    bins_per_decade: u32,
    /// Which table of the run to count [default: histograms where present, else magnitudes]
    #[arg(long, value_enum, value_name = "TABLE")]
    from: Option<From>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    Histograms,
    Magnitudes,
}

pub(crate) fn run(args: &HistogramArgs) -> anyhow::Result<ExitCode> {
    output::refuse_binary_terminal(args.format.format)?;
    let options = options(args);
    let table = |run: &Run| Ok(histogram_table(&histograms(run, &options)?)?);
    if let Some(out) = &args.out {
        return write_data_set(args, out, table);
    }
    output::print_each(&args.runs.runs, args.format.format, table)
}

fn options(args: &HistogramArgs) -> HistogramOptions {
    let origin = |from| match from {
        From::Histograms => Origin::Histograms,
        From::Magnitudes => Origin::Magnitudes,
    };
    HistogramOptions {
        scope: args.per,
        window: args.window,
        tensors: Vec::new(),
        quantities: args.quantity.clone(),
        bins_per_decade: args.bins_per_decade,
        origin: args.from.map(origin),
    }
}

fn bins_per_decade(text: &str) -> Result<u32, String> {
    let divisor = text.parse().ok().filter(|&number| bins::divides(number));
    divisor.ok_or_else(|| format!("expected a divisor of {}", bins::BINS_PER_DECADE))
}

/// The data set's only table.
const TABLE: &str = "histograms";

/// One file per run in hive style; what is printed is the list of files.
fn write_data_set(
    args: &HistogramArgs,
    out: &Path,
    table: impl Fn(&Run) -> anyhow::Result<DataFrame> + Sync,
) -> anyhow::Result<ExitCode> {
    if Stored::is_one(out) {
        bail!(
            "{}: a data set of `analyze`: expected another folder, or its histograms would be replaced",
            out.display()
        );
    }
    folder_below(out, &[TABLE])?;
    let outcome = for_each(&args.runs.runs, |run| {
        let frame = table(run)?;
        let dir = folder_below(out, &[TABLE, &partition(&run.manifest().run)])?;
        // The partition's name says which run it is; the column inside would be a second answer.
        let metadata = [
            ("epsiloscope.table", TABLE.to_owned()),
            ("epsiloscope.bins_per_decade", args.bins_per_decade.to_string()),
        ];
        let bytes = encode_parquet(&frame.drop("run")?, &metadata)?;
        let file = "part-0.parquet";
        publish(&dir, file, &bytes).with_context(|| dir.join(file).display().to_string())?;
        Ok((dir.join(file), frame.height(), bytes.len()))
    });
    if !outcome.results.is_empty() {
        output::print(&file_list(&outcome.results)?, args.format.format)?;
    }
    Ok(outcome.status)
}

fn file_list(files: &[(PathBuf, usize, usize)]) -> anyhow::Result<DataFrame> {
    let paths: Vec<String> = files.iter().map(|(path, _, _)| path.display().to_string()).collect();
    let numbers = |name: &str, number: fn(&(PathBuf, usize, usize)) -> usize| {
        Series::new(name.into(), files.iter().map(|file| number(file) as i64).collect::<Vec<_>>())
    };
    let columns = [Series::new("file".into(), paths), numbers("rows", |file| file.1), numbers("bytes", |file| file.2)];
    Ok(DataFrame::new_infer_height(columns.map(Into::into).to_vec())?)
}

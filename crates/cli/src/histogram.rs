//! `epsiloscope histogram`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use epsiloscope_analysis::{Origin, Scope, histograms};
use epsiloscope_format::publish;
use epsiloscope_report::{Format, encode_parquet};
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::args::{From, HistogramArgs, Per};
use crate::output;
use crate::runs::for_each;

pub(crate) fn run(args: &HistogramArgs) -> anyhow::Result<ExitCode> {
    output::refuse_binary_terminal(args.format.format)?;
    let scope = match args.per {
        Per::Run => Scope::Run,
        Per::Tensor => Scope::Tensor,
    };
    let origin = args.from.map(|from| match from {
        From::Histograms => Origin::Histograms,
        From::Magnitudes => Origin::Magnitudes,
    });
    match &args.out {
        Some(out) => write_data_set(args, out, scope, origin),
        None => print(args, args.format.format, scope, origin),
    }
}

fn print(args: &HistogramArgs, format: Format, scope: Scope, origin: Option<Origin>) -> anyhow::Result<ExitCode> {
    let outcome = for_each(&args.runs.runs, |run| Ok(histograms(run, scope, origin)?));
    if let Some(frame) = output::stacked(outcome.results)? {
        output::print(&frame, format)?;
    }
    Ok(outcome.status)
}

/// One file per run in hive style; what is printed is the list of files.
fn write_data_set(args: &HistogramArgs, out: &Path, scope: Scope, origin: Option<Origin>) -> anyhow::Result<ExitCode> {
    let root = out.join("histograms");
    fs_err::create_dir_all(&root)?;
    let outcome = for_each(&args.runs.runs, |run| {
        let frame = histograms(run, scope, origin)?;
        let dir = root.join(partition(&run.manifest().run));
        fs_err::create_dir_all(&dir)?;
        // The partition's name says which run it is; the column inside would be a second answer.
        let bytes = encode_parquet(&frame.drop("run")?, &[("epsiloscope.table", "histograms".to_owned())])?;
        let file = "part-0.parquet";
        publish(&dir, file, &bytes).with_context(|| dir.join(file).display().to_string())?;
        Ok((dir.join(file), frame.height(), bytes.len()))
    });
    if !outcome.results.is_empty() {
        output::print(&file_list(&outcome.results)?, args.format.format)?;
    }
    Ok(outcome.status)
}

/// `run=NAME`, with everything but letters, digits, `.`, `_` and `-` percent-encoded, as hive readers decode it.
fn partition(run: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let encode = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("run={}", run.bytes().map(encode).collect::<String>())
}

fn file_list(files: &[(PathBuf, usize, usize)]) -> anyhow::Result<DataFrame> {
    let paths: Vec<String> = files.iter().map(|(path, _, _)| path.display().to_string()).collect();
    let numbers = |name: &str, number: fn(&(PathBuf, usize, usize)) -> usize| {
        Series::new(name.into(), files.iter().map(|file| number(file) as i64).collect::<Vec<_>>())
    };
    let columns = [Series::new("file".into(), paths), numbers("rows", |file| file.1), numbers("bytes", |file| file.2)];
    Ok(DataFrame::new_infer_height(columns.map(Into::into).to_vec())?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_run_can_be_called_anything_without_leaving_its_directory() {
        assert_eq!(super::partition("r-1"), "run=r-1");
        assert_eq!(super::partition("../a b"), "run=..%2Fa%20b");
    }
}

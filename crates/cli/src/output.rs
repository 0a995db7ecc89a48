//! Results to standard output.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use epsiloscope_format::{Run, publish};
use epsiloscope_report::{Format, FrameWriter, MAX_TABLE_ROWS, write_frame, write_more_rows};
use polars::prelude::DataFrame;

use crate::runs::for_each_in_turn;

/// Writes one table to standard output.
pub(crate) fn print(frame: &DataFrame, format: Format) -> anyhow::Result<()> {
    refuse_binary_terminal(format)?;
    let mut out = std::io::stdout().lock();
    write_frame(frame, format, &mut out)?;
    out.flush()?;
    Ok(())
}

/// Prints what a question makes of each run, one below the other, as the answers come; the status says whether all runs were
/// answered. Nothing is printed where none was.
pub(crate) fn print_each(
    runs: &[PathBuf],
    format: Format,
    question: impl Fn(&Run) -> anyhow::Result<DataFrame> + Sync,
) -> anyhow::Result<ExitCode> {
    refuse_binary_terminal(format)?;
    let mut out = BufWriter::new(std::io::stdout());
    let mut writer = FrameWriter::new(format, &mut out);
    let status = for_each_in_turn(runs, question, |frame| Ok(writer.write(&frame)?))?;
    writer.finish()?;
    out.flush()?;
    Ok(status)
}

/// Prints what a question says of each run, with an empty line between two of them, as the answers come.
pub(crate) fn print_texts(
    runs: &[PathBuf],
    question: impl Fn(&Run) -> anyhow::Result<String> + Sync,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut is_first = true;
    let status = for_each_in_turn(runs, question, |text| {
        if !std::mem::take(&mut is_first) {
            writeln!(out)?;
        }
        Ok(out.write_all(text.as_bytes())?)
    })?;
    out.flush()?;
    Ok(status)
}

/// Prints what a question finds in each run by `write`, all at once, as tables for people are: the first
/// [`MAX_TABLE_ROWS`], and how many more there are.
pub(crate) fn print_first<T: Send>(
    runs: &[PathBuf],
    question: impl Fn(&Run) -> anyhow::Result<Vec<T>> + Sync,
    write: impl Fn(&[T], &mut dyn Write) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let (mut shown, mut n_found) = (Vec::new(), 0);
    let status = for_each_in_turn(runs, question, |found| {
        n_found += found.len();
        shown.extend(found.into_iter().take(MAX_TABLE_ROWS - shown.len()));
        Ok(())
    })?;
    if !shown.is_empty() {
        let mut out = std::io::stdout().lock();
        write(&shown, &mut out)?;
        write_more_rows(n_found - shown.len(), &mut out)?;
        out.flush()?;
    }
    Ok(status)
}

/// Before the long work: nobody reads Parquet off a screen.
pub(crate) fn refuse_binary_terminal(format: Format) -> anyhow::Result<()> {
    if format == Format::Parquet && std::io::stdout().is_terminal() {
        bail!("standard output is a terminal: expected a file or pipe for --format parquet");
    }
    Ok(())
}

/// A file to write, which is there once it is whole.
pub(crate) struct OutFile<'a> {
    path: &'a Path,
    folder: &'a Path,
    name: &'a str,
}

impl<'a> OutFile<'a> {
    /// Asked for before the long work: whether a file can be there.
    pub(crate) fn at(path: &'a Path) -> anyhow::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{}: expected the name of a file, in UTF-8", path.display()))?;
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "{}: expected a folder to write {name} into", folder.display());
        ensure!(!path.is_dir(), "{}: a folder; expected a file", path.display());
        Ok(Self { path, folder, name })
    }

    pub(crate) fn publish(&self, bytes: &[u8]) -> anyhow::Result<()> {
        publish(self.folder, self.name, bytes).with_context(|| self.path.display().to_string())
    }
}

/// Frames of the same columns, one below the other.
pub(crate) fn stacked(frames: Vec<DataFrame>) -> anyhow::Result<Option<DataFrame>> {
    Ok(epsiloscope_report::stacked(frames.into_iter().map(Ok))?)
}

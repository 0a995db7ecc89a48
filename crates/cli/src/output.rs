//! Results to standard output.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use epsiloscope_format::publish;
use epsiloscope_report::{Format, write_frame};
use polars::prelude::DataFrame;

/// Writes one table to standard output.
pub(crate) fn print(frame: &DataFrame, format: Format) -> anyhow::Result<()> {
    refuse_binary_terminal(format)?;
    let mut out = std::io::stdout().lock();
    write_frame(frame, format, &mut out)?;
    out.flush()?;
    Ok(())
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

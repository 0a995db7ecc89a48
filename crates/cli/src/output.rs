//! Results to standard output.

use std::io::{IsTerminal, Write};

use anyhow::bail;
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

/// Frames of the same columns, one below the other.
pub(crate) fn stacked(frames: Vec<DataFrame>) -> anyhow::Result<Option<DataFrame>> {
    let mut frames = frames.into_iter();
    let Some(mut all) = frames.next() else { return Ok(None) };
    for frame in frames {
        all.vstack_mut_owned(frame)?;
    }
    Ok(Some(all))
}

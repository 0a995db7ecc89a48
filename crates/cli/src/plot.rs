//! `epsiloscope plot`

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use epsiloscope_analysis::{At, Scope, Window};
use epsiloscope_figure::{Style, Theme, svg};
use epsiloscope_raster::png;
use epsiloscope_report::{Kind, PanelOptions, figure, panels};

use crate::args::{RunsArg, WhoseArgs, number_in};
use crate::output::OutFile;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope plot runs/mine --out mine.svg            magnitudes through training
  epsiloscope plot runs/mine --figure histogram,cumulative --out mine.png
  epsiloscope plot runs/mine --figure histogram --window epoch --out epochs.svg
  epsiloscope plot runs/mine --figure bounds --out bounds.svg     what sets the bounds
  epsiloscope plot runs/* --figure search-space --out spaces.svg  runs below each other
  epsiloscope plot runs/a runs/b --per kind --theme dark --out kinds.png
  epsiloscope plot runs/mine --tensor 'conv*' --out - --format svg > conv.svg
")]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// The file to write; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// svg or png [default: as the file's name ends]
    #[arg(long, value_name = "FORMAT")]
    format: Option<PictureFormat>,
    /// What to draw: heatmap, histogram, cumulative, bounds, search-space
    #[arg(long, value_delimiter = ',', default_value = "heatmap", value_name = "FIGURE")]
    figure: Vec<Kind>,
    #[command(flatten)]
    whose: WhoseArgs,
    /// Quantities, such as `gradient` or `critical_epsilon.adam`; histograms draw several together [default: gradient]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    quantity: Vec<String>,
    /// A drawing for each tensor, layer or kind; bounds by tensor, layer or kind [default: run, and bounds by tensor]
    #[arg(long, value_name = "SCOPE")]
    per: Option<Scope>,
    /// Only these tensors: names, or patterns such as 'layer1.*'
    #[arg(long, value_delimiter = ',', value_name = "PATTERN")]
    tensor: Vec<String>,
    /// Steps of a column of the heat map, and of each curve: run, epoch, N (every N steps), or A..B (steps A to B)
    /// [default: at most 240 columns, and one curve]
    #[arg(long, value_name = "WINDOW")]
    window: Option<Window>,
    /// Width and height of the whole figure in pixels, as 800x500 [default: as much as its panels need]
    #[arg(long, value_parser = size, value_name = "WxH")]
    size: Option<(f64, f64)>,
    /// Panels side by side [default: 2 at most]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    columns: Option<u16>,
    /// Pixels of a PNG to one of the figure: 2 for screens, 3 and more for print
    #[arg(long, default_value_t = 2.0, value_parser = scale, value_name = "FACTOR")]
    scale: f64,
    /// light or dark
    #[arg(long, default_value = "light", value_name = "THEME")]
    theme: Theme,
}

/// What a picture is written as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PictureFormat {
    Svg,
    Png,
}

impl FromStr for PictureFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(format!("format {name:?}: expected svg or png")),
        }
    }
}

pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let (format, file) = destination(args)?;
    let options = PanelOptions {
        kinds: args.figure.clone(),
        estimate: args.whose.options(At::Last),
        quantities: args.quantity.clone(),
        scope: args.per,
        tensors: args.tensor.clone(),
        window: args.window,
    };
    let outcome = for_each(&args.runs.runs, |run| Ok(panels(run, &options)?));
    if outcome.results.is_empty() {
        return Ok(outcome.status);
    }
    let style = Style { theme: args.theme, size: args.size, columns: args.columns.map(usize::from) };
    let picture = svg(&figure(outcome.results, &args.figure), style)?;
    let bytes = match format {
        PictureFormat::Svg => picture.into_bytes(),
        PictureFormat::Png => png(&picture, args.scale)?,
    };
    if let Some(file) = file {
        file.publish(&bytes)?;
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
    }
    Ok(outcome.status)
}

/// Before the long work: as what is written, and whether it can be there. No file is standard output.
fn destination(args: &PlotArgs) -> anyhow::Result<(PictureFormat, Option<OutFile<'_>>)> {
    let out: &Path = &args.out;
    if out.as_os_str() == "-" {
        let format = args.format.context("--out -: expected --format svg or png with it")?;
        if format == PictureFormat::Png && std::io::stdout().is_terminal() {
            bail!("standard output is a terminal: expected a file or pipe for --format png");
        }
        return Ok((format, None));
    }
    let ending = out.extension().and_then(|ending| ending.to_str()?.parse().ok());
    let format = args.format.or(ending);
    let format =
        format.with_context(|| format!("{}: expected a name that ends in .svg or .png, or --format", out.display()))?;
    Ok((format, Some(OutFile::at(out)?)))
}

fn size(text: &str) -> Result<(f64, f64), String> {
    let side = |side: &str| side.trim().parse().ok().filter(|&side: &u16| 0 < side).map(f64::from);
    let sides = text.split_once('x').and_then(|(width, height)| side(width).zip(side(height)));
    sides.ok_or_else(|| "expected width and height in pixels, as 800x500".to_owned())
}

fn scale(text: &str) -> Result<f64, String> {
    number_in(text, |scale| (0.1..=20.0).contains(&scale), "a number from 0.1 to 20")
}

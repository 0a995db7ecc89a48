//! `epsiloscope plot`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use epsiloscope_analysis::{At, Scope, Window};
use epsiloscope_figure::{Style, Theme, svg};
use epsiloscope_report::{Kind, PanelOptions, figure, panels};

use crate::args::{RunsArg, WhoseArgs};
use crate::output::OutFile;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope plot runs/mine --out mine.svg                           magnitudes through training, with the search space
  epsiloscope plot runs/mine --figure histogram,cumulative --out mine.svg
  epsiloscope plot runs/mine --figure histogram --window epoch --out epochs.svg       a curve for each epoch
  epsiloscope plot runs/mine --figure bounds --out bounds.svg         which tensors set the bounds
  epsiloscope plot runs/* --figure search-space --out spaces.svg      runs and optimizers below each other
  epsiloscope plot runs/a runs/b --per kind --theme dark --out kinds.svg
  epsiloscope plot runs/mine --tensor 'conv*' --out - | rsvg-convert -f pdf > mine.pdf
")]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// The SVG file to write; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
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
    /// light or dark
    #[arg(long, default_value = "light", value_name = "THEME")]
    theme: Theme,
}

pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    // Before the long work: whether the file can be there.
    let file = if args.out.as_os_str() == "-" { None } else { Some(OutFile::at(&args.out)?) };
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
    if let Some(file) = file {
        file.publish(picture.as_bytes())?;
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(picture.as_bytes())?;
        out.flush()?;
    }
    Ok(outcome.status)
}

fn size(text: &str) -> Result<(f64, f64), String> {
    let side = |side: &str| side.trim().parse().ok().filter(|&side: &u16| 0 < side).map(f64::from);
    let sides = text.split_once('x').and_then(|(width, height)| side(width).zip(side(height)));
    sides.ok_or_else(|| "expected width and height in pixels, as 800x500".to_owned())
}

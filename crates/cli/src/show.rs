//! `epsiloscope show`

use std::io::IsTerminal;
use std::process::ExitCode;

use epsiloscope_analysis::{At, Window};
use epsiloscope_format::{Run, escaped};
use epsiloscope_report::{Glance, PanelOptions, glance, verdict_sentence};
use epsiloscope_terminal::{Look, Portrait, draw, text};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use crate::args::{RunsArg, WhoseArgs};
use crate::output;
use crate::screen::{ScreenArgs, shown, size};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope show runs/mine                              the heat map, the histogram and the verdict, in the terminal
  epsiloscope show runs/mine --tensor fc1.weight --optimizer rmsprop
  epsiloscope show runs/* --height 20                     several runs, one after another
  epsiloscope show runs/mine --ascii --width 100 > mine.txt
")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    runs: RunsArg,
    #[command(flatten)]
    looking: LookingArgs,
    /// Letters in a line [default: the terminal's, or 80]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=2000), value_name = "N")]
    width: Option<u16>,
    /// Lines of a run [default: the terminal's less one, or 24]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    height: Option<u16>,
}

/// What of a run is looked at, and how it is shown.
#[derive(clap::Args)]
pub(crate) struct LookingArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// What magnitudes are of, such as `gradient` or `critical_epsilon.adam` [default: gradient]
    #[arg(long, value_name = "NAME")]
    quantity: Option<String>,
    /// Only these tensors: names, or patterns such as 'layer1.*'
    #[arg(long, value_delimiter = ',', value_name = "PATTERN")]
    tensor: Vec<String>,
    /// Steps of a column of the heat map: run, epoch, N (every N steps), or A..B (steps A to B) [default: at most 240
    /// columns]
    #[arg(long, value_name = "WINDOW")]
    window: Option<Window>,
    #[command(flatten)]
    pub(crate) screen: ScreenArgs,
}

impl LookingArgs {
    pub(crate) fn options(&self) -> PanelOptions {
        PanelOptions {
            estimate: self.whose.options(At::Last),
            quantities: self.quantity.iter().cloned().collect(),
            tensors: self.tensor.clone(),
            window: self.window,
            ..PanelOptions::default()
        }
    }
}

pub(crate) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let look = args.looking.screen.look();
    let (width, height) = size();
    // One line less, so that what is typed next scrolls nothing away.
    let usual = if std::io::stdout().is_terminal() && height > 1 { height - 1 } else { height };
    let area = Rect::new(0, 0, args.width.unwrap_or(width), args.height.unwrap_or(usual));
    let options = args.looking.options();
    output::print_texts(&args.runs.runs, |run| Ok(picture(run, &glance(run, &options)?, look, area)))
}

/// A run as lines of text.
fn picture(run: &Run, glance: &Glance, look: Look, area: Rect) -> String {
    let mut buffer = Buffer::empty(area);
    let words = Words::of(run, glance, look);
    draw(&words.portrait(glance, &[]), area, look, &mut buffer);
    text(&buffer)
}

/// What is said of a run.
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) verdict: String,
    histogram: Option<epsiloscope_histogram::Histogram>,
}

impl Words {
    pub(crate) fn of(run: &Run, glance: &Glance, look: Look) -> Self {
        let verdict = glance
            .estimate
            .as_ref()
            .map_or_else(|| "nothing that was recorded tells of any optimizer's ε.".to_owned(), verdict_sentence);
        Self {
            title: shown(&title(run), look),
            verdict: shown(&verdict, look),
            histogram: glance.heat_map.as_ref().and_then(epsiloscope_figure::HeatMap::total),
        }
    }

    pub(crate) fn portrait<'a>(&'a self, glance: &'a Glance, status: &'a [String]) -> Portrait<'a> {
        Portrait {
            title: &self.title,
            status,
            heat_map: glance.heat_map.as_ref(),
            histogram: self.histogram.as_ref(),
            verdict: &self.verdict,
        }
    }
}

/// `cnn-training · monitoring, adam, lr 0.001 · 94 steps, finished`
fn title(run: &Run) -> String {
    let manifest = run.manifest();
    let mode = manifest.mode.name();
    let state = if run.is_finished() { "finished" } else { "not finished" };
    let optimizer = &manifest.optimizer;
    format!(
        "{} · {mode}, {}{} · step {}, {state}",
        escaped(&manifest.run),
        escaped(&optimizer.name),
        optimizer.learning_rate.map_or_else(String::new, |rate| format!(", lr {rate}")),
        run.last_step()
    )
}

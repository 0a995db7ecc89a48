//! A run on the screen: what of it has room, from the verdict outwards.

use epsiloscope_figure::{HeatMap, Marks, magnitude_range, seen_ends};
use epsiloscope_histogram::Histogram;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

use crate::look::Look;
use crate::rows::{put, put_char, split, wrapped};
use crate::{heat, histogram};

/// What is shown of a run. Its words have to be harmless to terminals.
#[derive(Clone, Debug)]
pub struct Portrait<'a> {
    /// Its name, and what else goes on one line.
    pub title: &'a str,
    /// Lines below it.
    pub status: &'a [String],
    /// Magnitudes through training.
    pub heat_map: Option<&'a HeatMap>,
    /// All of them.
    pub histogram: Option<&'a Histogram>,
    /// What follows for ε.
    pub verdict: &'a str,
}

/// Beside drawings, for labels.
pub(crate) const GUTTER: u16 = 8;
/// Narrower drawings show nothing.
const LEAST_WIDTH: u16 = GUTTER + 8;
/// Lines of the lowest heat map, and of the lowest histogram.
const LEAST_HEAT: u16 = 5;
const LEAST_HISTOGRAM: u16 = 5;

/// Decades of magnitudes and marks, which both drawings have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) decades: (i32, i32),
    pub(crate) marks: Marks,
    pub(crate) look: Look,
}

/// Draws what has room in an area: the verdict first, then the heat map, then the histogram.
pub fn draw(portrait: &Portrait<'_>, area: Rect, look: Look, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let verdict = wrapped(portrait.verdict, area.width);
    let n_verdict = (verdict.len() as u16).min((area.height / 4).max(1)).min(area.height);
    let (above, below) = split(area, area.height - n_verdict);
    draw_verdict(&verdict, below, buffer);
    let above = draw_head(portrait, look, above, buffer);
    let Some(map) = portrait.heat_map.filter(|_| LEAST_WIDTH <= above.width) else { return };
    let frame = Frame { decades: decades(map, portrait.histogram), marks: map.marks, look };
    let legend = u16::from(LEAST_HEAT + 2 < above.height);
    let (drawings, legend) = split(above, above.height - legend);
    draw_legend(frame, legend, buffer);
    let n_histogram = match portrait.histogram {
        Some(_) if LEAST_HEAT + LEAST_HISTOGRAM <= drawings.height => (2 * drawings.height / 5).max(LEAST_HISTOGRAM),
        _ => 0,
    };
    let (top, bottom) = split(drawings, drawings.height - n_histogram);
    if LEAST_HEAT <= top.height {
        heat::draw(map, frame, top, buffer);
    }
    if let Some(of) = portrait.histogram.filter(|_| LEAST_HISTOGRAM <= bottom.height) {
        histogram::draw(of, frame, bottom, buffer);
    }
}

/// As many as the histogram and the marks need: lines are few, and single elements far out would take most of them.
fn decades(map: &HeatMap, histogram: Option<&Histogram>) -> (i32, i32) {
    let seen = histogram.into_iter().flat_map(seen_ends);
    let range = magnitude_range(seen.chain(map.marks.magnitudes()));
    range.or_else(|| magnitude_range(map.magnitudes())).unwrap_or((-1, 0))
}

fn draw_verdict(lines: &[String], area: Rect, buffer: &mut Buffer) {
    for (index, line) in lines.iter().take(usize::from(area.height)).enumerate() {
        let is_cut = index + 1 == usize::from(area.height) && index + 1 < lines.len();
        put(buffer, area.x, area.y + index as u16, line, area.width, Style::default());
        if is_cut && let Some(cell) = buffer.cell_mut((area.right().saturating_sub(1), area.y + index as u16)) {
            cell.set_char('+');
        }
    }
}

/// Title and status; what is left below them.
fn draw_head(portrait: &Portrait<'_>, look: Look, area: Rect, buffer: &mut Buffer) -> Rect {
    let bold = if look.has_colors() { Style::default().add_modifier(Modifier::BOLD) } else { Style::default() };
    let (title, rest) = split(area, 1);
    if 0 < title.height {
        put(buffer, title.x, title.y, portrait.title, title.width, bold);
    }
    let (status, rest) = split(rest, portrait.status.len() as u16);
    for (index, line) in portrait.status.iter().take(usize::from(status.height)).enumerate() {
        put(buffer, status.x, status.y + index as u16, line, status.width, Style::default());
    }
    rest
}

/// `━ search ε in [1e-5, 1e-1]  ▲ run’s ε 1e-8`
fn draw_legend(frame: Frame, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let Frame { marks, look, .. } = frame;
    let epsilon = look.letter('ε', 'e');
    let mut x = area.x + GUTTER.min(area.width);
    let mut entry = |letter: char, words: &str, style: Style| {
        put_char(buffer, x, area.y, letter, style);
        put(buffer, x + 2, area.y, words, area.right().saturating_sub(x + 2), Style::default());
        x += 2 + words.chars().count() as u16 + 3;
    };
    if let Some(search) = marks.search {
        let (lower, upper) = search.exponents;
        entry(look.letter('━', '='), &format!("search {epsilon} in [1e{lower}, 1e{upper}]"), look.band());
    }
    if let Some(mark) = marks.epsilon {
        let of = mark.of.name().replace('’', if look.ascii { "'" } else { "’" });
        entry(look.letter('▲', '^'), &format!("{of} {epsilon} {}", short(mark.epsilon)), look.accent());
    }
}

/// `1e-8`, `3.2e-4`
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

/// A histogram's share of its elements per decade between two exponents of ten.
pub(crate) fn density(histogram: &Histogram, from: f64, to: f64) -> f64 {
    let per_decade = f64::from(histogram.bins_per_decade());
    let (first, counts) = histogram.dense();
    let [start, end] = [from, to].map(|exponent| exponent * per_decade - f64::from(first));
    let (low, high) = (start.max(0.0), end.min(counts.len() as f64));
    if high <= low {
        return 0.0;
    }
    let bins = low as usize..(high.ceil() as usize).min(counts.len());
    let inside = |bin: usize| counts[bin] as f64 * (high.min((bin + 1) as f64) - low.max(bin as f64));
    bins.map(inside).sum::<f64>() / histogram.total().max(1) as f64 / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_shares_per_decade() {
        // Half of it in each of two bins of a fortieth decade.
        let histogram = Histogram::from_bins([(-40, 5), (-39, 5)]);
        assert!((density(&histogram, -2.0, 0.0) - 0.5).abs() < 1e-12);
        assert!((density(&histogram, -1.0, -0.975) - 20.0).abs() < 1e-9);
        assert!((density(&histogram, -1.0, -0.9875) - 20.0).abs() < 1e-9);
        assert!(density(&histogram, -3.0, -2.0).abs() < 1e-12);
    }
}

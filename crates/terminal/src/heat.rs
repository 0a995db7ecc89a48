//! The heat map: a column of letters for each stretch of steps, one or two magnitudes to a line.

use epsiloscope_figure::{Column, HeatMap, Spans, spans};
use epsiloscope_histogram::Histogram;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use crate::portrait::{Frame, GUTTER, density, short};
use crate::rows::{put, put_char, split};

/// Where magnitudes stand: lines of an area, the greatest above.
#[derive(Clone, Copy)]
struct Lines {
    area: Rect,
    decades: (i32, i32),
}

impl Lines {
    /// The exponent at the top of a line, or of a part of one.
    fn exponent(self, line: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        high - line / f64::from(self.area.height) * (high - low)
    }

    /// The line that holds a magnitude, counted from 0; the lowest holds its lower edge, too.
    fn of(self, magnitude: f64) -> Option<u16> {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let exponent = magnitude.log10();
        let line = (high - exponent) / (high - low) * f64::from(self.area.height);
        (low..=high).contains(&exponent).then(|| (line as u16).min(self.area.height - 1))
    }
}

pub(crate) fn draw(map: &HeatMap, frame: Frame, area: Rect, buffer: &mut Buffer) {
    let (plot, axis) = split(area, area.height - 1);
    let lines = Lines { area: Rect { x: plot.x + GUTTER, width: plot.width - GUTTER, ..plot }, decades: frame.decades };
    let spans = spans(&map.columns, map.cadence);
    draw_cells(map, &spans, frame, lines, buffer);
    draw_marks(frame, lines, buffer);
    draw_gutter(frame, lines, plot.x, buffer);
    draw_steps(map, &spans, Rect { x: axis.x + GUTTER, width: axis.width - GUTTER, ..axis }, buffer);
}

fn draw_cells(map: &HeatMap, spans: &Spans, frame: Frame, lines: Lines, buffer: &mut Buffer) {
    let look = frame.look;
    let per_line = if look.has_colors() && !look.ascii { 2 } else { 1 };
    let n = usize::from(lines.area.height) * per_line;
    let columns: Vec<Vec<f64>> = (0..lines.area.width)
        .map(|x| column(map, spans, lines, x).map_or(vec![0.0; n], |of| densities(&of, lines, n)))
        .collect();
    let most = columns.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    for (x, column) in (lines.area.x..).zip(&columns) {
        for (y, cell) in (lines.area.y..).zip(column.chunks(per_line)) {
            let share = |density: f64| (density / most).sqrt();
            let (letter, style) = match *cell {
                [above, below] => halves(frame, (share(above), share(below))),
                [one] => (look.shade(share(one)), shaded(frame, share(one))),
                _ => continue,
            };
            put_char(buffer, x, y, letter, style);
        }
    }
}

/// Two magnitudes in one letter: the upper half its own colour, the lower its ground.
fn halves(frame: Frame, (above, below): (f64, f64)) -> (char, Style) {
    let color = |share: f64| if 0.0 < share { frame.look.density(share) } else { None };
    match (color(above), color(below)) {
        (Some(above), Some(below)) => ('▀', Style::default().fg(above).bg(below)),
        (Some(above), None) => ('▀', Style::default().fg(above)),
        (None, Some(below)) => ('▄', Style::default().fg(below)),
        (None, None) => (' ', Style::default()),
    }
}

fn shaded(frame: Frame, share: f64) -> Style {
    frame.look.density(share).filter(|_| 0.0 < share).map_or_else(Style::default, |color| Style::default().fg(color))
}

/// What stands in a column of letters: the windows whose middles lie in it, or the one that covers it.
fn column(map: &HeatMap, spans: &Spans, lines: Lines, x: u16) -> Option<Histogram> {
    let (start, end) = spans.all;
    let step = |x: f64| start + x / f64::from(lines.area.width) * (end - start);
    let (from, to) = (step(f64::from(x)), step(f64::from(x + 1)));
    let middle = f64::midpoint(from, to);
    let is_inside = |&(a, b): &(f64, f64)| (from..to).contains(&f64::midpoint(a, b));
    let covers = |&(a, b): &(f64, f64)| a <= middle && middle <= b;
    let of = |holds: &dyn Fn(&(f64, f64)) -> bool| {
        let held = spans.of_columns.iter().zip(&map.columns).filter(|(span, _)| holds(span));
        held.filter_map(|(_, Column { histogram, .. })| histogram.clone()).reduce(|sum, next| sum.merged(&next))
    };
    of(&is_inside).or_else(|| of(&covers))
}

fn densities(histogram: &Histogram, lines: Lines, n: usize) -> Vec<f64> {
    let line = |part: usize| part as f64 * f64::from(lines.area.height) / n as f64;
    (0..n).map(|part| density(histogram, lines.exponent(line(part + 1)), lines.exponent(line(part)))).collect()
}

/// ε as a line of dashes, the band's edges where nothing else stands.
fn draw_marks(frame: Frame, lines: Lines, buffer: &mut Buffer) {
    let look = frame.look;
    let edges = frame.marks.search.into_iter().flat_map(|search| [search.at.0, search.at.1]);
    for line in edges.filter_map(|magnitude| lines.of(magnitude)) {
        across(lines, line, buffer, false, look.letter('┄', '.'), look.band());
    }
    if let Some(line) = frame.marks.epsilon.and_then(|mark| lines.of(mark.at)) {
        across(lines, line, buffer, true, look.letter('╌', '~'), look.accent());
    }
}

/// Letters along a line: where nothing stands, and over every other cell if it has to be seen.
fn across(lines: Lines, line: u16, buffer: &mut Buffer, over: bool, letter: char, style: Style) {
    let y = lines.area.y + line;
    for x in lines.area.left()..lines.area.right() {
        let Some(cell) = buffer.cell_mut((x, y)) else { continue };
        if cell.symbol() == " " || over && x % 2 == 0 {
            cell.set_char(letter).set_style(Style { bg: None, ..style });
        }
    }
}

/// Decades, the search space along the axis, and ε.
fn draw_gutter(frame: Frame, lines: Lines, x: u16, buffer: &mut Buffer) {
    let Frame { look, marks, decades: (low, high) } = frame;
    let axis = x + GUTTER - 1;
    let band = marks.search.map(|search| (lines.of(search.at.1), lines.of(search.at.0)));
    for line in 0..lines.area.height {
        let is_searched =
            band.is_some_and(|(top, bottom)| top <= Some(line) && bottom.is_some_and(|bottom| line <= bottom));
        let (letter, style) = if is_searched {
            (look.letter('┃', '#'), look.band())
        } else {
            (look.letter('│', '|'), Style::default())
        };
        put_char(buffer, axis, lines.area.y + line, letter, style);
    }
    let apart = (high - low).max(1) as u16 * 2;
    let stride = i32::from(apart.div_ceil(lines.area.height).max(1));
    for exponent in (low..=high).filter(|exponent| exponent % stride == 0) {
        if let Some(line) = lines.of(10f64.powi(exponent)) {
            label(buffer, x, lines.area.y + line, &format!("1e{exponent}"), Style::default());
        }
    }
    if let Some((mark, line)) = marks.epsilon.and_then(|mark| Some((mark, lines.of(mark.at)?))) {
        let text = format!("{}{}", look.letter('ε', 'e'), short(mark.epsilon));
        put(buffer, x, lines.area.y + line, "       ", GUTTER - 1, Style::default());
        label(buffer, x, lines.area.y + line, &text, look.accent());
    }
}

/// Up to the axis from the left.
fn label(buffer: &mut Buffer, x: u16, y: u16, text: &str, style: Style) {
    let room = GUTTER - 2;
    let start = room.saturating_sub(text.chars().count() as u16);
    put(buffer, x + start, y, text, room - start, style);
}

/// First and last step, and what is counted.
fn draw_steps(map: &HeatMap, spans: &Spans, area: Rect, buffer: &mut Buffer) {
    let Some((first, last)) = map.columns.first().zip(map.columns.last()) else { return };
    let (from, to) = (first.steps.0.to_string(), last.steps.1.to_string());
    let noun = if spans.is_by_steps { "step" } else { "windows up to step" };
    let width = |text: &str| text.chars().count() as u16;
    put(buffer, area.x, area.y, &from, area.width, Style::default());
    let end = area.width.saturating_sub(width(&to));
    let middle = (area.width / 2).saturating_sub(width(noun) / 2);
    if width(&from) < middle && middle + width(noun) < end {
        put(buffer, area.x + middle, area.y, noun, area.width - middle, Style::default());
    }
    if width(&from) < end {
        put(buffer, area.x + end, area.y, &to, area.width - end, Style::default());
    }
}

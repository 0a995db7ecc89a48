//! The histogram: a bar of eighths of blocks for each stretch of magnitudes.

use epsiloscope_histogram::Histogram;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use crate::portrait::{Frame, GUTTER, density};
use crate::rows::{put, put_char, split};

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_EIGHTHS: [char; 9] = [' ', '.', '.', '.', ':', ':', ':', '#', '#'];
/// Between labels of decades.
const APART: u16 = 8;

/// Where magnitudes stand: columns of an area.
#[derive(Clone, Copy)]
struct Columns {
    area: Rect,
    decades: (i32, i32),
}

impl Columns {
    fn exponent(self, column: u16) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        low + f64::from(column) / f64::from(self.area.width) * (high - low)
    }

    /// The column that holds a magnitude, counted from 0; the last holds its upper edge, too.
    fn of(self, exponent: f64) -> Option<u16> {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let column = (exponent - low) / (high - low) * f64::from(self.area.width);
        (low..=high).contains(&exponent).then(|| (column as u16).min(self.area.width - 1))
    }
}

pub(crate) fn draw(histogram: &Histogram, frame: Frame, area: Rect, buffer: &mut Buffer) {
    let (plot, below) = split(area, area.height - 2);
    let inner = |of: Rect| Rect { x: of.x + GUTTER, width: of.width - GUTTER, ..of };
    let columns = Columns { area: inner(plot), decades: frame.decades };
    let densities: Vec<f64> = (0..columns.area.width)
        .map(|column| density(histogram, columns.exponent(column), columns.exponent(column + 1)))
        .collect();
    let most = densities.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    for (column, density) in (0..).zip(&densities) {
        draw_bar(frame, columns, column, density / most, buffer);
    }
    draw_marks(frame, columns, buffer);
    let top = format!("{most:.2}");
    put(buffer, plot.x, plot.y, &top, GUTTER - 2, Style::default());
    put(buffer, plot.x, plot.y + 1, "/decade", GUTTER - 1, Style::default());
    draw_axis(frame, columns, inner(below), buffer);
}

fn draw_bar(frame: Frame, columns: Columns, column: u16, share: f64, buffer: &mut Buffer) {
    let look = frame.look;
    let area = columns.area;
    let eighths = 8.0 * f64::from(area.height) * share;
    // What is there is seen.
    let eighths = if 0.0 < share { (eighths.round() as u16).max(1) } else { 0 };
    let middle = 10f64.powf(f64::midpoint(columns.exponent(column), columns.exponent(column + 1)));
    let is_searched = frame.marks.search.is_some_and(|search| (search.at.0..=search.at.1).contains(&middle));
    let style = if is_searched { look.series() } else { look.outside() };
    for line in 0..area.height {
        let filled = eighths.saturating_sub(8 * line).min(8);
        let letters = if look.ascii { ASCII_EIGHTHS } else { EIGHTHS };
        put_char(
            buffer,
            area.x + column,
            area.bottom() - 1 - line,
            letters[usize::from(filled)],
            if filled == 0 { Style::default() } else { style },
        );
    }
}

/// The band's edges and ε, where no bar stands.
fn draw_marks(frame: Frame, columns: Columns, buffer: &mut Buffer) {
    let look = frame.look;
    let edges = frame.marks.search.into_iter().flat_map(|search| [search.at.0, search.at.1]);
    for column in edges.filter_map(|magnitude| columns.of(magnitude.log10())) {
        upright(columns, column, look.letter('┆', ':'), look.band(), buffer);
    }
    if let Some(column) = frame.marks.epsilon.and_then(|mark| columns.of(mark.at.log10())) {
        upright(columns, column, look.letter('│', '|'), look.accent(), buffer);
    }
}

fn upright(columns: Columns, column: u16, letter: char, style: Style, buffer: &mut Buffer) {
    for y in columns.area.top()..columns.area.bottom() {
        if let Some(cell) = buffer.cell_mut((columns.area.x + column, y))
            && cell.symbol() == " "
        {
            cell.set_char(letter).set_style(style);
        }
    }
}

/// A line with ticks, heavy along the search space, ε below it; and decades.
fn draw_axis(frame: Frame, columns: Columns, area: Rect, buffer: &mut Buffer) {
    let Frame { look, marks, decades: (low, high) } = frame;
    let band = marks.search.map(|search| [search.at.0, search.at.1].map(|magnitude| columns.of(magnitude.log10())));
    for column in 0..area.width {
        let is_searched = band.is_some_and(|[from, to]| from <= Some(column) && Some(column) <= to);
        let (letter, style) = if is_searched {
            (look.letter('━', '='), look.band())
        } else {
            (look.letter('─', '-'), Style::default())
        };
        put_char(buffer, area.x + column, area.y, letter, style);
    }
    let fits = (area.width / APART).max(1);
    let stride = ((high - low) as u16).div_ceil(fits).max(1);
    for exponent in (low..=high).filter(|exponent| exponent % i32::from(stride) == 0) {
        let Some(column) = columns.of(f64::from(exponent)) else { continue };
        let label = format!("1e{exponent}");
        let width = label.chars().count() as u16;
        let start = column.saturating_sub(width / 2).min(area.width.saturating_sub(width));
        put(buffer, area.x + start, area.y + 1, &label, area.width - start, Style::default());
        let style =
            buffer.cell((area.x + column, area.y)).map_or_else(Style::default, ratatui_core::buffer::Cell::style);
        let is_searched = band.is_some_and(|[from, to]| from <= Some(column) && Some(column) <= to);
        put_char(buffer, area.x + column, area.y, look.letter(if is_searched { '┷' } else { '┴' }, '+'), style);
    }
    if let Some(column) = marks.epsilon.and_then(|mark| columns.of(mark.at.log10())) {
        put_char(buffer, area.x + column, area.y, look.letter('▲', '^'), look.accent());
    }
}

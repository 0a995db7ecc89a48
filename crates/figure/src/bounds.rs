//! The bounds that each tensor, layer or kind would set, one row each; those that set the run's are marked.

use crate::axis::{Side, decades, log_axis};
use crate::canvas::{Anchor, Canvas, Lettering, Rect, number};
use crate::data::{BoundRow, Bounds, Interval};
use crate::font::Face;
use crate::layout::margins;
use crate::marks::{Along, Place, band, band_edges, epsilon_line, labels};
use crate::scale::{Scale, grouped};
use crate::text::Text;

const NAME_SIZE: f64 = 10.5;
/// What names may take of the width.
const NAME_SHARE: f64 = 0.34;
const STRIP: f64 = 18.0;
/// For the note on rows that are left out, and a key to the marks.
const KEY: f64 = 18.0;
/// Rows closer than this cannot be read.
const LEAST_ROW: f64 = 12.0;
/// The height of a row where there is room.
pub(crate) const ROW: f64 = 17.0;
/// Rows that a figure has room for unless its size says otherwise.
pub(crate) const USUAL_ROWS: usize = 40;

impl Bounds {
    /// The magnitudes that the axis has to hold.
    pub(crate) fn magnitudes(&self) -> impl Iterator<Item = f64> {
        let ends = |bound: &Interval| [Some(bound.value), bound.low, bound.high].into_iter().flatten();
        let rows = self.rows.iter().flat_map(move |row| ends(&row.lower).chain(ends(&row.upper)));
        rows.chain(self.marks.magnitudes())
    }

    /// The height that all rows would take, or as many as are usual.
    pub(crate) fn usual_height(&self) -> f64 {
        self.rows.len().min(USUAL_ROWS) as f64 * ROW + STRIP + KEY + 44.0
    }
}

pub(crate) fn draw(canvas: &mut Canvas, bounds: &Bounds, area: Rect, range: (i32, i32)) {
    let below = Rect { y: area.y + STRIP + KEY, height: area.height - STRIP - KEY, ..area };
    let n_rows = ((below.height - 44.0) / LEAST_ROW).max(1.0) as usize;
    let rows = shown(&bounds.rows, n_rows);
    let room = NAME_SHARE * area.width;
    let widest = rows.iter().map(|row| name(row, room).width(NAME_SIZE, face(row))).fold(0.0, f64::max);
    let plot = margins(below, widest + 22.0, 18.0, 44.0);
    let x = decades(range, (plot.x, plot.right()));
    let place = Place { plot, scale: x, along: Along::X };
    band(canvas, place, &bounds.marks);
    let height = plot.height / rows.len().max(1) as f64;
    canvas.group("rows", |canvas| {
        for (index, row) in rows.iter().enumerate() {
            let middle = plot.y + (index as f64 + 0.5) * height;
            draw_row(canvas, row, middle, height, (plot, x, room));
        }
    });
    band_edges(canvas, place, &bounds.marks);
    epsilon_line(canvas, place, &bounds.marks);
    labels(canvas, place, &bounds.marks);
    log_axis(canvas, Side::Bottom, plot, x, &axis_label(&bounds.optimizer));
    draw_key(canvas, bounds, rows.len(), (plot.x.min(area.x + room), area.y));
}

/// `ε of adam (unit of the denominator)`
pub(crate) fn axis_label(optimizer: &str) -> Text {
    Text::default().italic("ε").and(&format!(" of {optimizer} (unit of what it is added to)"))
}

/// As many rows as fit, by their lower bounds: all, or those with the least and the greatest bounds.
fn shown(rows: &[BoundRow], n: usize) -> Vec<&BoundRow> {
    let mut by_lower: Vec<&BoundRow> = rows.iter().collect();
    by_lower.sort_by(|a, b| a.lower.value.total_cmp(&b.lower.value).then_with(|| a.name.cmp(&b.name)));
    if by_lower.len() <= n {
        return by_lower;
    }
    // In which order rows are given up: far from both ends first.
    let mut by_upper = by_lower.clone();
    by_upper.sort_by(|a, b| b.upper.value.total_cmp(&a.upper.value).then_with(|| a.name.cmp(&b.name)));
    let mut kept: Vec<&BoundRow> = Vec::new();
    for (least, greatest) in by_lower.iter().zip(&by_upper) {
        for row in [least, greatest] {
            if kept.len() < n && !kept.iter().any(|other| std::ptr::eq(*other, *row)) {
                kept.push(row);
            }
        }
    }
    by_lower.retain(|row| kept.iter().any(|other| std::ptr::eq(*other, *row)));
    by_lower
}

fn is_binding(row: &BoundRow) -> bool {
    row.sets_lower || row.sets_upper
}

fn face(row: &BoundRow) -> Face {
    if is_binding(row) { Face::Medium } else { Face::Regular }
}

fn name(row: &BoundRow, room: f64) -> Text {
    Text::from(row.name.as_str()).cut(room, NAME_SIZE, face(row))
}

fn draw_row(canvas: &mut Canvas, row: &BoundRow, middle: f64, height: f64, (plot, x, room): (Rect, Scale, f64)) {
    let colors = canvas.colors;
    let at = |value: f64| x.clamped(value.log10());
    let (start, end) = (at(row.lower.value), at(row.upper.value));
    let thick = (0.42 * height).clamp(3.0, 8.0);
    let class = if is_binding(row) { "row binding" } else { "row" };
    canvas.group(class, |canvas| {
        let cut = name(row, room);
        let whole = Text::from(row.name.as_str());
        let color = if is_binding(row) { colors.text } else { colors.muted };
        let lettering = Lettering { face: face(row), ..Lettering::new(NAME_SIZE, color, Anchor::End) };
        let place = (plot.x - 8.0, middle + 0.36 * NAME_SIZE);
        canvas.titled_text(&cut, place, lettering, (cut != whole).then_some(&whole));
        canvas.line("rule", (plot.x, middle), (plot.right(), middle), colors.grid, &[]);
        let bar = Rect { x: start, y: middle - thick / 2.0, width: end - start, height: thick };
        canvas.rect("bar", bar, &[("fill", colors.series), ("rx", "1")]);
        for bound in [row.lower, row.upper] {
            draw_interval(canvas, bound, middle, x);
        }
        for (is_set, at) in [(row.sets_lower, start), (row.sets_upper, end)] {
            if is_set {
                let [x, y] = [at, middle].map(number);
                let attributes =
                    [("class", "binds"), ("cx", x.as_str()), ("cy", &y), ("r", "4.5"), ("fill", colors.accent)];
                canvas.empty(
                    "circle",
                    &[&attributes[..], &[("stroke", colors.ground), ("stroke-width", "1.5")]].concat(),
                );
            }
        }
    });
}

/// Where a bound lies, if that is seen: one bin is not.
fn draw_interval(canvas: &mut Canvas, bound: Interval, middle: f64, x: Scale) {
    let (Some(low), Some(high)) = (bound.low, bound.high) else { return };
    if low <= 0.0 || x.at(high.log10()) - x.at(low.log10()) < 3.0 {
        return;
    }
    let [start, end] = [low, high].map(|value| x.clamped(value.log10()));
    let color = canvas.colors.text;
    canvas.line("interval", (start, middle), (end, middle), color, &[("stroke-width", "1")]);
    for at in [start, end] {
        canvas.line("cap", (at, middle - 2.5), (at, middle + 2.5), color, &[("stroke-width", "1")]);
    }
}

/// What the marks mean, and how many rows are left out.
fn draw_key(canvas: &mut Canvas, bounds: &Bounds, n_shown: usize, (x, top): (f64, f64)) {
    let colors = canvas.colors;
    let middle = top + 6.0;
    let [cx, cy] = [x + 5.0, middle].map(number);
    canvas.group("key", |canvas| {
        canvas.empty("circle", &[("cx", &cx), ("cy", &cy), ("r", "4.5"), ("fill", colors.accent)]);
        let n_left = bounds.rows.len() - n_shown;
        let left_out = match n_left {
            0 => String::new(),
            n => format!("; {} {}s between the outermost are left out", grouped(n as i64), bounds.noun),
        };
        let words = Text::from(format!("sets the run’s bound{left_out}").as_str());
        canvas.text(&words, (x + 14.0, middle + 4.0), Lettering::new(10.5, colors.muted, Anchor::Start));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, lower: f64, upper: f64) -> BoundRow {
        let exact = |value| Interval { value, low: Some(value), high: Some(value) };
        BoundRow {
            name: name.to_owned(),
            lower: exact(lower),
            upper: exact(upper),
            sets_lower: false,
            sets_upper: false,
        }
    }

    #[test]
    fn the_outermost_rows_are_kept() {
        let rows = [
            row("a", 1e-3, 1e-2),
            row("b", 1e-6, 1e-5),
            row("c", 1e-4, 1e0),
            row("d", 2e-3, 2e-2),
            row("e", 1e-5, 1e-4),
        ];
        let names = |n| shown(&rows, n).into_iter().map(|row| row.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(9), ["b", "e", "c", "a", "d"]);
        assert_eq!(names(2), ["b", "c"]);
        assert_eq!(names(3), ["b", "e", "c"]);
    }
}

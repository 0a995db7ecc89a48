//! The search spaces of several optimizers and runs, one row each.

use crate::axis::{Side, decades, log_axis};
use crate::canvas::{Anchor, Canvas, Lettering, Rect, number};
use crate::data::{SearchSpaceRow, SearchSpaces};
use crate::font::Face;
use crate::layout::margins;
use crate::marks::around;
use crate::scale::Scale;
use crate::text::Text;

const NAME_SIZE: f64 = 11.0;
const NAME_SHARE: f64 = 0.38;
const KEY: f64 = 22.0;
pub(crate) const ROW: f64 = 22.0;

impl SearchSpaces {
    /// The magnitudes that the axis has to hold.
    pub(crate) fn magnitudes(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().flat_map(|row| {
            let ends = [row.exponents.0, row.exponents.1].map(|exponent| 10f64.powi(exponent));
            ends.into_iter()
                .chain([row.bounds.0, row.bounds.1])
                .chain([Some(row.default), row.own].into_iter().flatten().flat_map(around))
        })
    }

    pub(crate) fn usual_height(&self) -> f64 {
        self.rows.len() as f64 * ROW + KEY + 44.0
    }

    fn has_several_runs(&self) -> bool {
        self.rows.windows(2).any(|pair| pair[0].run != pair[1].run)
    }
}

pub(crate) fn draw(canvas: &mut Canvas, spaces: &SearchSpaces, area: Rect, range: (i32, i32)) {
    let several = spaces.has_several_runs();
    let below = Rect { y: area.y + KEY, height: area.height - KEY, ..area };
    let room = NAME_SHARE * area.width;
    let widest = spaces
        .rows
        .iter()
        .map(|row| name(row, several).cut(room, NAME_SIZE, Face::Regular).width(NAME_SIZE, Face::Regular));
    let plot = margins(below, widest.fold(0.0, f64::max) + 22.0, 18.0, 44.0);
    let x = decades(range, (plot.x, plot.right()));
    let height = plot.height / spaces.rows.len().max(1) as f64;
    canvas.group("rows", |canvas| {
        for (index, row) in spaces.rows.iter().enumerate() {
            let middle = plot.y + (index as f64 + 0.5) * height;
            // A rule between runs, where names change.
            if 0 < index && spaces.rows[index - 1].run != row.run {
                let (y, color) = (plot.y + index as f64 * height, canvas.colors.grid);
                canvas.line("rule", (area.x + 8.0, y), (plot.right(), y), color, &[]);
            }
            let name = name(row, several);
            let cut = name.cut(room, NAME_SIZE, Face::Regular);
            let place = (plot.x - 8.0, middle + 0.36 * NAME_SIZE);
            let lettering = Lettering::new(NAME_SIZE, canvas.colors.text, Anchor::End);
            canvas.titled_text(&cut, place, lettering, (cut != name).then_some(&name));
            draw_row(canvas, row, middle, height, x);
        }
    });
    let label = Text::default().italic("ε").and(" (unit of what it is added to)");
    log_axis(canvas, Side::Bottom, plot, x, &label);
    draw_key(canvas, (plot.x, area.y + 6.0));
}

fn name(row: &SearchSpaceRow, several_runs: bool) -> Text {
    if several_runs {
        Text::from(row.run.as_str()).and(", ").and(&row.optimizer)
    } else {
        Text::from(row.optimizer.as_str())
    }
}

fn draw_row(canvas: &mut Canvas, row: &SearchSpaceRow, middle: f64, height: f64, x: Scale) {
    let colors = canvas.colors;
    let at = |value: f64| x.clamped(value.log10());
    let [start, end] = [row.exponents.0, row.exponents.1].map(|exponent| x.at(f64::from(exponent)));
    let thick = (0.5 * height).clamp(4.0, 12.0);
    canvas.group("row", |canvas| {
        canvas.line("rule", (x.pixels.0, middle), (x.pixels.1, middle), colors.grid, &[]);
        let bar = Rect { x: start, y: middle - thick / 2.0, width: (end - start).max(1.5), height: thick };
        canvas.rect("search-space", bar, &[("fill", colors.series), ("fill-opacity", "0.32"), ("rx", "2")]);
        let (from, to) = ((at(row.bounds.0), middle), (at(row.bounds.1), middle));
        canvas.line("bounds", from, to, colors.series, &[("stroke-width", "2.5")]);
        default_mark(canvas, at(row.default), middle);
        if let Some(own) = row.own {
            own_mark(canvas, at(own), middle);
        }
    });
}

/// An open circle.
fn default_mark(canvas: &mut Canvas, x: f64, y: f64) {
    let colors = canvas.colors;
    let [x, y] = [x, y].map(number);
    let place = [("class", "default"), ("cx", x.as_str()), ("cy", &y), ("r", "3.6")];
    canvas.empty(
        "circle",
        &[&place[..], &[("fill", colors.ground), ("stroke", colors.text), ("stroke-width", "1.4")]].concat(),
    );
}

/// A full diamond.
fn own_mark(canvas: &mut Canvas, x: f64, y: f64) {
    let (color, ground) = (canvas.colors.accent, canvas.colors.ground);
    let [left, right, top, bottom] = [x - 5.0, x + 5.0, y - 5.0, y + 5.0].map(number);
    let [x, y] = [x, y].map(number);
    let path = format!("M{left} {y}L{x} {top}L{right} {y}L{x} {bottom}Z");
    canvas.path("own", &path, &[("fill", color), ("stroke", ground), ("stroke-width", "1")]);
}

/// Draws what stands in a figure at a place of its key.
type DrawMark = fn(&mut Canvas, f64, f64);

/// What bars and marks mean.
fn draw_key(canvas: &mut Canvas, (start, middle): (f64, f64)) {
    let colors = canvas.colors;
    canvas.group("key", |canvas| {
        let mut x = start;
        let entries: [(&str, DrawMark); 4] = [
            ("search space", |canvas, x, y| {
                let rect = Rect { x, y: y - 4.5, width: 16.0, height: 9.0 };
                let color = canvas.colors.series;
                canvas.rect("swatch", rect, &[("fill", color), ("fill-opacity", "0.32"), ("rx", "2")]);
            }),
            ("bounds", |canvas, x, y| {
                let color = canvas.colors.series;
                canvas.line("swatch", (x, y), (x + 16.0, y), color, &[("stroke-width", "2.5")]);
            }),
            ("run’s ", |canvas, x, y| own_mark(canvas, x + 8.0, y)),
            ("default ", |canvas, x, y| default_mark(canvas, x + 8.0, y)),
        ];
        for (words, draw) in entries {
            draw(canvas, x, middle);
            let text = if words.ends_with(' ') { Text::from(words).italic("ε") } else { Text::from(words) };
            canvas.text(&text, (x + 21.0, middle + 4.0), Lettering::new(10.5, colors.muted, Anchor::Start));
            x += 21.0 + text.width(10.5, Face::Regular) + 16.0;
        }
    });
}

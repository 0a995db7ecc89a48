//! Magnitudes through training: step by log10 magnitude, the density as colour.

use epsiloscope_histogram::Histogram;

use crate::axis::{LABEL_SIZE, Side, TICK_SIZE, Tick, axis, decades, linear_axis, log_axis};
use crate::canvas::{Anchor, Canvas, Lettering, Rect, number};
use crate::color::{density_color, hex};
use crate::data::{Column, HeatMap};
use crate::layout::{Shared, margins};
use crate::marks::{Along, Place, band_edges, epsilon_line, labels, veil};
use crate::picture::Picture;
use crate::scale::{Scale, grouped, linear_ticks, written};
use crate::text::Text;

/// Pixels of the picture to a pixel of the page, so that windows stand where their steps are.
const FINER: f64 = 2.0;
const BAR_WIDTH: f64 = 11.0;
const BAR_STOPS: usize = 16;

/// Where columns stand on the axis of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Spans {
    /// Each column's beginning and end.
    pub of_columns: Vec<(f64, f64)>,
    /// From the beginning of the first to the end of the last.
    pub all: (f64, f64),
    /// By their steps; or side by side, because most steps lie between windows.
    pub is_by_steps: bool,
}

/// Columns by their steps where they follow each other closely, else side by side.
pub fn spans(columns: &[Column], cadence: i64) -> Spans {
    let by_steps: Vec<(f64, f64)> =
        columns.iter().map(|column| ((column.steps.0 - cadence) as f64, column.steps.1 as f64)).collect();
    let covered: f64 = by_steps.iter().map(|(start, end)| end - start).sum();
    let all = by_steps.first().zip(by_steps.last()).map_or((0.0, 1.0), |(first, last)| (first.0, last.1));
    if 1 < columns.len() && all.1 - all.0 < 2.0 * covered {
        return Spans { of_columns: by_steps, all, is_by_steps: true };
    }
    let side_by_side = (0..columns.len()).map(|index| (index as f64, (index + 1) as f64)).collect();
    Spans { of_columns: side_by_side, all: (0.0, columns.len().max(1) as f64), is_by_steps: false }
}

impl HeatMap {
    /// The magnitudes that the axis has to hold.
    pub fn magnitudes(&self) -> impl Iterator<Item = f64> {
        let histograms = self.columns.iter().filter_map(|column| column.histogram.as_ref());
        histograms.flat_map(crate::curves::ends).chain(self.marks.magnitudes())
    }

    /// All columns added; `None` if there are none.
    pub fn total(&self) -> Option<Histogram> {
        self.columns.iter().filter_map(|column| column.histogram.clone()).reduce(|sum, next| sum.merged(&next))
    }

    /// The greatest share of a column's elements per decade.
    pub(crate) fn most(&self) -> f64 {
        let histograms = self.columns.iter().filter_map(|column| column.histogram.as_ref());
        let most = |histogram: &Histogram| {
            let greatest = histogram.dense().1.iter().max().copied().unwrap_or(0);
            greatest as f64 * f64::from(histogram.bins_per_decade()) / histogram.total().max(1) as f64
        };
        histograms.map(most).fold(0.0, f64::max)
    }
}

pub(crate) fn draw(canvas: &mut Canvas, map: &HeatMap, area: Rect, shared: Shared) {
    let plot = margins(area, 58.0, 84.0, 44.0);
    let spans = spans(&map.columns, map.cadence);
    let x = Scale { domain: spans.all, pixels: (plot.x, plot.right()) };
    let y = decades(shared.magnitudes, (plot.bottom(), plot.y));
    let place = Place { plot, scale: y, along: Along::Y };
    draw_image(canvas, map, &spans, place, shared.most);
    veil(canvas, place, &map.marks);
    band_edges(canvas, place, &map.marks);
    epsilon_line(canvas, place, &map.marks);
    labels(canvas, place, &map.marks);
    log_axis(canvas, Side::Left, plot, y, &map.measure.axis());
    if spans.is_by_steps {
        linear_axis(canvas, Side::Bottom, plot, x, &Text::from("step"));
    } else {
        axis(canvas, Side::Bottom, plot, &window_ticks(map, x), &[], &Text::from("up to step"));
    }
    draw_color_bar(canvas, plot, shared.most);
}

/// Windows that stand side by side are named by their last steps.
fn window_ticks(map: &HeatMap, x: Scale) -> Vec<Tick> {
    let fits = (x.length() / 60.0).max(1.0) as usize;
    let stride = map.columns.len().div_ceil(fits).max(1);
    let tick = |(index, column): (usize, &Column)| Tick {
        at: x.at(index as f64 + 0.5),
        label: Text::from(grouped(column.steps.1).as_str()),
    };
    map.columns.iter().enumerate().step_by(stride).map(tick).collect()
}

fn draw_image(canvas: &mut Canvas, map: &HeatMap, spans: &Spans, place: Place, most: f64) {
    let (first, end) = bins_of(map);
    if end <= first || most <= 0.0 {
        return;
    }
    let per_decade = bins_per_decade(map);
    let [top, bottom] = [end, first].map(|edge| place.scale.at(f64::from(edge) / per_decade));
    let rows = (end - first) as usize;
    let row_height = ((FINER * (bottom - top)) as usize).div_ceil(rows).clamp(1, 8);
    let width = ((FINER * place.plot.width) as usize).max(1);
    let mut picture = Picture::clear(width, rows * row_height);
    let mut window = 0;
    for pixel in 0..width {
        let at = spans.all.0 + (pixel as f64 + 0.5) * (spans.all.1 - spans.all.0) / width as f64;
        while window + 1 < spans.of_columns.len() && spans.of_columns[window].1 < at {
            window += 1;
        }
        if spans.of_columns[window].0 <= at {
            paint(&mut picture, pixel, row_height, &map.columns[window], end, most);
        }
    }
    let (x, y, w, h) = (place.plot.x, top, place.plot.width, bottom - top);
    let [x, y, w, h] = [x, y, w, h].map(number);
    let url = picture.data_url(canvas.theme);
    canvas.empty(
        "image",
        &[
            ("class", "density"),
            ("x", &x),
            ("y", &y),
            ("width", &w),
            ("height", &h),
            ("preserveAspectRatio", "none"),
            ("image-rendering", "optimizeSpeed"),
            ("style", "image-rendering:pixelated"),
            ("href", &url),
        ],
    );
}

fn paint(picture: &mut Picture, pixel: usize, row_height: usize, column: &Column, end: i32, most: f64) {
    let Some(histogram) = &column.histogram else { return };
    let scale = f64::from(histogram.bins_per_decade()) / histogram.total().max(1) as f64 / most;
    for (bin, count) in histogram.bins() {
        let top = (end - 1 - bin) as usize * row_height;
        // The root brings out the tails, where the bounds lie.
        picture.fill(pixel, top..top + row_height, Picture::level((count as f64 * scale).sqrt()));
    }
}

/// First bin, and the one after the last, of all columns.
fn bins_of(map: &HeatMap) -> (i32, i32) {
    let histograms = map.columns.iter().filter_map(|column| column.histogram.as_ref());
    let ends = histograms.map(Histogram::dense).filter(|(_, counts)| !counts.is_empty());
    let ends = ends.map(|(first, counts)| (first, first + counts.len() as i32));
    ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, 0))
}

fn bins_per_decade(map: &HeatMap) -> f64 {
    let histogram = map.columns.iter().find_map(|column| column.histogram.as_ref());
    f64::from(histogram.map_or(1, Histogram::bins_per_decade))
}

/// The scale of colours beside the plot; equal steps of colour are equal steps of the root.
fn draw_color_bar(canvas: &mut Canvas, plot: Rect, most: f64) {
    let bar = Rect { x: plot.right() + 18.0, width: BAR_WIDTH, ..plot };
    let id = canvas.id("density");
    let theme = canvas.theme;
    canvas.group("scale", |canvas| {
        canvas.open("linearGradient", &[("id", &id), ("x1", "0"), ("y1", "1"), ("x2", "0"), ("y2", "0")]);
        for stop in 0..=BAR_STOPS {
            let share = stop as f64 / BAR_STOPS as f64;
            canvas.empty(
                "stop",
                &[("offset", &format!("{share:.4}")), ("stop-color", &hex(density_color(share, theme)))],
            );
        }
        canvas.close("linearGradient");
        canvas.rect("colors", bar, &[("fill", &format!("url(#{id})"))]);
        let scale = Scale { domain: (0.0, 1.0), pixels: (bar.bottom(), bar.y) };
        let (muted, line) = (canvas.colors.muted, canvas.colors.line);
        let mut last = f64::INFINITY;
        for density in linear_ticks(0.0, most, 8) {
            let y = scale.at((density / most.max(f64::MIN_POSITIVE)).sqrt());
            if last - y < 1.2 * TICK_SIZE {
                continue;
            }
            last = y;
            canvas.line("tick", (bar.right(), y), (bar.right() + 3.0, y), line, &[]);
            let place = (bar.right() + 6.0, y + 0.36 * TICK_SIZE);
            canvas.text(&Text::from(written(density).as_str()), place, Lettering::new(TICK_SIZE, muted, Anchor::Start));
        }
        let label = Text::from("share of elements per decade");
        let label = label.cut(plot.height + 20.0, LABEL_SIZE, crate::font::Face::Regular);
        let place = (bar.right() + 44.0, plot.y + plot.height / 2.0);
        canvas.text(&label, place, Lettering { upwards: true, ..Lettering::new(LABEL_SIZE, muted, Anchor::Middle) });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(first: i64, last: i64) -> Column {
        Column { steps: (first, last), histogram: None }
    }

    #[test]
    fn windows_that_follow_each_other_stand_at_their_steps() {
        let found = spans(&[column(1, 10), column(11, 20), column(21, 25)], 1);
        assert_eq!(found.of_columns, [(0.0, 10.0), (10.0, 20.0), (20.0, 25.0)]);
        assert_eq!((found.all, found.is_by_steps), ((0.0, 25.0), true));
    }

    #[test]
    fn windows_far_apart_and_single_ones_stand_side_by_side() {
        let found = spans(&[column(500, 500), column(1000, 1000)], 1);
        assert_eq!((found.all, found.is_by_steps), ((0.0, 2.0), false));
        assert_eq!(spans(&[column(1, 10)], 1).of_columns, [(0.0, 1.0)]);
        assert!(!spans(&[], 1).is_by_steps);
    }
}

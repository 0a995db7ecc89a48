//! Histograms and cumulative shares as curves over log10 magnitude.

use epsiloscope_histogram::{Histogram, bins::lower_edge};

use crate::axis::{Side, decades, grid, linear_axis, log_axis};
use crate::canvas::{Anchor, Canvas, Lettering, Rect, polyline};
use crate::color::{density_color, hex};
use crate::data::{Curve, Curves, Form};
use crate::font::Face;
use crate::layout::{Shared, margins};
use crate::marks::{Along, Place, band, band_edges, epsilon_line, labels};
use crate::scale::Scale;
use crate::text::Text;

const LEGEND_SIZE: f64 = 11.0;
const LEGEND_ROW: f64 = 16.0;
const SWATCH: f64 = 22.0;
/// Between the entries of a legend.
const GAP: f64 = 16.0;
/// Above the plot, for the names of what is marked.
const STRIP: f64 = 18.0;
/// What an axis may leave out of a histogram at either end: too little to be seen in a curve.
const UNSEEN: f64 = 1e-5;
/// Dashes of curves that are told apart, one after the other. Histograms have none: their steps are as short as dashes.
const DASHES: [&str; 6] = ["none", "7 3", "2 2.5", "10 3 2 3", "4 2", "1 3"];

/// The lower edge of the first bin and the upper one of the last.
pub(crate) fn ends(histogram: &Histogram) -> impl Iterator<Item = f64> + use<> {
    let (first, counts) = histogram.dense();
    let (end, per_decade) = (first + counts.len() as i32, histogram.bins_per_decade());
    let edges = (!counts.is_empty()).then(|| [first, end].map(|edge| lower_edge(edge, per_decade)));
    edges.into_iter().flatten()
}

/// Between these edges lies what is seen of a histogram: all but a hundred thousandth of its elements at either end.
pub fn seen_ends(histogram: &Histogram) -> impl Iterator<Item = f64> + use<> {
    let per_decade = histogram.bins_per_decade();
    let unseen = (UNSEEN * histogram.total() as f64) as u64;
    let (first, counts) = histogram.dense();
    let outside = |counts: &mut dyn Iterator<Item = &u64>| {
        let mut sum = 0;
        counts
            .take_while(|&&count| {
                sum += count;
                sum <= unseen
            })
            .count() as i32
    };
    let (below, above) = (outside(&mut counts.iter()), outside(&mut counts.iter().rev()));
    let edges = [first + below, first + counts.len() as i32 - above].map(|edge| lower_edge(edge, per_decade));
    (!counts.is_empty()).then_some(edges).into_iter().flatten()
}

impl Curves {
    /// The magnitudes that the axis has to hold.
    pub(crate) fn magnitudes(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|curve| seen_ends(&curve.histogram)).chain(self.marks.magnitudes())
    }

    /// The greatest density.
    pub(crate) fn most(&self) -> f64 {
        let densities = self.curves.iter().flat_map(|curve| densities(&curve.histogram));
        densities.map(|(_, density)| density).fold(0.0, f64::max)
    }
}

/// Every bin from the first to the last with its share of the elements per decade.
fn densities(histogram: &Histogram) -> impl Iterator<Item = (i32, f64)> {
    let (first, counts) = histogram.dense();
    let scale = f64::from(histogram.bins_per_decade()) / histogram.total().max(1) as f64;
    (first..).zip(counts).map(move |(bin, &count)| (bin, count as f64 * scale))
}

pub(crate) fn draw(canvas: &mut Canvas, curves: &Curves, area: Rect, shared: Shared) {
    let legend = legend_rows(curves, area.width - 76.0);
    let strip = legend.len() as f64 * LEGEND_ROW + STRIP;
    let top = Rect { y: area.y + strip, height: area.height - strip, ..area };
    let plot = margins(top, 58.0, 18.0, 44.0);
    let x = decades(shared.magnitudes, (plot.x, plot.right()));
    let greatest = if curves.form == Form::Density { 1.06 * shared.most.max(f64::MIN_POSITIVE) } else { 100.0 };
    let y = Scale { domain: (0.0, greatest), pixels: (plot.bottom(), plot.y) };
    let place = Place { plot, scale: x, along: Along::X };
    grid(canvas, plot, y);
    band(canvas, place, &curves.marks);
    canvas.clipped(plot, |canvas| {
        for (index, curve) in curves.curves.iter().enumerate() {
            draw_curve(canvas, curves, index, curve, (x, y));
        }
    });
    band_edges(canvas, place, &curves.marks);
    epsilon_line(canvas, place, &curves.marks);
    labels(canvas, place, &curves.marks);
    log_axis(canvas, Side::Bottom, plot, x, &curves.measure.axis());
    let label = match curves.form {
        Form::Density => "share of elements per decade",
        Form::Cumulative => "share of elements below (%)",
    };
    linear_axis(canvas, Side::Left, plot, y, &Text::from(label));
    draw_legend(canvas, curves, &legend, (plot.x, area.y));
}

fn draw_curve(canvas: &mut Canvas, of: &Curves, index: usize, curve: &Curve, (x, y): (Scale, Scale)) {
    let path = match of.form {
        Form::Density => density_path(&curve.histogram, x, y),
        Form::Cumulative => cumulative_path(&curve.histogram, x, y),
    };
    let (color, dash) = look(canvas, of, index);
    canvas.group("curve", |canvas| {
        canvas.worded("title", &curve.name.plain());
        if of.form == Form::Density && !of.is_sequence {
            let area = format!("{path}Z");
            let opacity = if of.curves.len() == 1 { "0.22" } else { "0.12" };
            canvas.path("area", &area, &[("fill", &color), ("fill-opacity", opacity)]);
        }
        let width = if of.curves.len() == 1 { "1.4" } else { "1.6" };
        let mut more =
            vec![("fill", "none"), ("stroke", color.as_str()), ("stroke-width", width), ("stroke-linejoin", "round")];
        if dash != "none" {
            more.push(("stroke-dasharray", dash));
        }
        canvas.path("line", &path, &more);
    });
}

/// From the base line up and down again, a step for each bin.
fn density_path(histogram: &Histogram, x: Scale, y: Scale) -> String {
    let per_decade = f64::from(histogram.bins_per_decade());
    let place = |edge: i32, density: f64| (x.at(f64::from(edge) / per_decade), y.at(density));
    let (first, counts) = histogram.dense();
    let steps = densities(histogram).flat_map(|(bin, density)| [place(bin, density), place(bin + 1, density)]);
    let base = |edge: i32| [place(edge, 0.0)];
    polyline(base(first).into_iter().chain(steps).chain(base(first + counts.len() as i32)))
}

/// From none to all, edge by edge.
fn cumulative_path(histogram: &Histogram, x: Scale, y: Scale) -> String {
    let per_decade = f64::from(histogram.bins_per_decade());
    let (first, counts) = histogram.dense();
    let all = histogram.total().max(1) as f64;
    let below = counts.iter().scan(0u64, |below, &count| {
        *below += count;
        Some(*below)
    });
    let shares = std::iter::once(0).chain(below).map(|below| 100.0 * below as f64 / all);
    let exponent = |edge: i32| f64::from(edge) / per_decade;
    let (low, high) = x.domain;
    let inner = (first..).zip(shares).map(|(edge, share)| (x.at(exponent(edge)), y.at(share)));
    let (start, end) = ((x.at(low), y.at(0.0)), (x.at(high), y.at(100.0)));
    polyline([start].into_iter().chain(inner).chain([end]))
}

/// A curve's colour and dashes.
fn look(canvas: &Canvas, of: &Curves, index: usize) -> (String, &'static str) {
    let n = of.curves.len();
    if n == 1 {
        return (canvas.colors.series.to_owned(), "none");
    }
    if of.is_sequence {
        // Neither end of the scale stands out from both grounds.
        let share = 0.30 + 0.68 * index as f64 / (n - 1) as f64;
        return (hex(density_color(share, canvas.theme)), "none");
    }
    let dash = if of.form == Form::Density { DASHES[0] } else { DASHES[index % DASHES.len()] };
    (canvas.colors.curves[index % canvas.colors.curves.len()].to_owned(), dash)
}

/// The curves of each row of the legend; none for a single curve.
fn legend_rows(of: &Curves, room: f64) -> Vec<Vec<(usize, Text)>> {
    let mut rows: Vec<Vec<(usize, Text)>> = Vec::new();
    if of.curves.len() < 2 {
        return rows;
    }
    let mut left = 0.0;
    for (index, curve) in of.curves.iter().enumerate() {
        let name = curve.name.cut((room - SWATCH).max(0.0), LEGEND_SIZE, Face::Regular);
        let width = SWATCH + name.width(LEGEND_SIZE, Face::Regular) + GAP;
        if left < width - GAP || rows.is_empty() {
            rows.push(Vec::new());
            left = room;
        }
        left -= width;
        if let Some(row) = rows.last_mut() {
            row.push((index, name));
        }
    }
    rows
}

fn draw_legend(canvas: &mut Canvas, of: &Curves, rows: &[Vec<(usize, Text)>], (start, top): (f64, f64)) {
    if rows.is_empty() {
        return;
    }
    canvas.group("legend", |canvas| {
        for (row, entries) in rows.iter().enumerate() {
            let y = top + 10.0 + LEGEND_ROW * row as f64;
            let mut x = start;
            for (index, name) in entries {
                let (color, dash) = look(canvas, of, *index);
                let mut more = vec![("stroke-width", "2")];
                if dash != "none" {
                    more.push(("stroke-dasharray", dash));
                }
                canvas.line("swatch", (x, y - 4.0), (x + SWATCH - 5.0, y - 4.0), &color, &more);
                let text = canvas.colors.text;
                let whole = &of.curves[*index].name;
                let lettering = Lettering::new(LEGEND_SIZE, text, Anchor::Start);
                canvas.titled_text(name, (x + SWATCH, y), lettering, (name != whole).then_some(whole));
                x += SWATCH + name.width(LEGEND_SIZE, Face::Regular) + GAP;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales() -> (Scale, Scale) {
        (decades((-2, 0), (0.0, 800.0)), Scale { domain: (0.0, 100.0), pixels: (100.0, 0.0) })
    }

    #[test]
    fn steps_are_as_wide_as_bins_and_as_high_as_densities() {
        // Bins −40 and −38 begin at 0.1 and at 10^(−38/40).
        let histogram = Histogram::from_bins([(-40, 1), (-38, 3)]);
        let (x, y) = scales();
        assert_eq!(density_path(&histogram, x, y), "M400 100L400 90L410 90L410 100L420 100L420 70L430 70L430 100");
    }

    #[test]
    fn shares_grow_from_none_to_all() {
        let histogram = Histogram::from_bins([(-40, 1), (-38, 3)]);
        let (x, y) = scales();
        assert_eq!(cumulative_path(&histogram, x, y), "M0 100L400 100L410 75L420 75L430 0L800 0");
    }

    #[test]
    fn what_is_too_little_to_be_seen_is_left_out_of_the_axis() {
        let ends = |pairs: [(i32, u64); 3]| seen_ends(&Histogram::from_bins(pairs)).map(f64::log10).collect::<Vec<_>>();
        let wide = ends([(-400, 1), (-40, 1_000_000), (79, 1)]);
        assert!((wide[0] + 1.0).abs() < 1e-9 && (wide[1] + 0.975).abs() < 1e-9, "{wide:?}");
        let all = ends([(-400, 1), (-40, 90_000), (79, 1)]);
        assert!((all[0] + 10.0).abs() < 1e-9 && (all[1] - 2.0).abs() < 1e-9, "{all:?}");
    }

    #[test]
    fn an_axis_holds_every_bin_to_its_edges() {
        let found: Vec<f64> = ends(&Histogram::from_bins([(-40, 1), (-1, 3)])).collect();
        assert!((found[0] - 0.1).abs() < 1e-12 && (found[1] - 1.0).abs() < 1e-12);
        assert_eq!(ends(&Histogram::default()).count(), 0);
    }
}

//! The search space of ε as a band, and one value of ε as a line.

use crate::canvas::{Anchor, Canvas, Lettering, Rect, number};
use crate::data::{EpsilonMark, Marks, SearchMark};
use crate::font::Face;
use crate::scale::Scale;
use crate::text::Text;

const SIZE: f64 = 11.0;
const BAND_DASH: &str = "5 4";
const EPSILON_DASH: &str = "7 3";

/// Which axis magnitudes are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    X,
    Y,
}

/// Where marks are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) plot: Rect,
    /// Of exponents.
    pub(crate) scale: Scale,
    pub(crate) along: Along,
}

impl Marks {
    /// Every magnitude that an axis has to hold for what is marked: around ε, which is not to lie on its end.
    pub fn magnitudes(&self) -> impl Iterator<Item = f64> + use<> {
        let search = self.search.into_iter().flat_map(|search| [search.at.0, search.at.1]);
        search.chain(self.epsilon.into_iter().flat_map(|epsilon| around(epsilon.at)))
    }
}

/// Something less and something more, so that a mark does not lie on the end of an axis.
pub(crate) fn around(value: f64) -> [f64; 2] {
    [value / 2.0, 2.0 * value]
}

impl Place {
    /// The stretch of the plot between two magnitudes.
    fn stretch(self, low: f64, high: f64) -> Rect {
        let [a, b] = [low, high].map(|magnitude| self.scale.clamped(magnitude.log10()));
        let (start, length) = (a.min(b), (a - b).abs());
        match self.along {
            Along::X => Rect { x: start, width: length, ..self.plot },
            Along::Y => Rect { y: start, height: length, ..self.plot },
        }
    }

    /// A line across the plot at a magnitude.
    fn across(self, magnitude: f64) -> ((f64, f64), (f64, f64)) {
        let at = self.scale.clamped(magnitude.log10());
        match self.along {
            Along::X => ((at, self.plot.y), (at, self.plot.bottom())),
            Along::Y => ((self.plot.x, at), (self.plot.right(), at)),
        }
    }
}

/// `search space [10⁻⁵, 10⁻¹]`
fn search_label(search: SearchMark) -> Text {
    let (lower, upper) = search.exponents;
    Text::from("search ").italic("ε").and(" in [").power(lower).and(", ").power(upper).and("]")
}

/// `run’s ε 10⁻⁸`
fn epsilon_label(mark: EpsilonMark) -> Text {
    Text::from(mark.of.name()).and(" ").italic("ε").and(" ").magnitude(mark.epsilon)
}

/// The band behind what is drawn; its name and edges come by [`band_edges`].
pub(crate) fn band(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let Some(search) = marks.search else { return };
    let (color, opacity) = (canvas.colors.band, number(canvas.colors.band_opacity));
    canvas.rect(
        "search-space",
        place.stretch(search.at.0, search.at.1),
        &[("fill", color), ("fill-opacity", &opacity)],
    );
}

/// What lies outside the search space, paler.
pub(crate) fn veil(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let Some(search) = marks.search else { return };
    let (color, opacity) = (canvas.colors.ground, number(canvas.colors.veil_opacity));
    let (low, high) = place.scale.domain;
    for (from, to) in [(10f64.powf(low), search.at.0), (search.at.1, 10f64.powf(high))] {
        if from < to {
            canvas.rect("veil", place.stretch(from, to), &[("fill", color), ("fill-opacity", &opacity)]);
        }
    }
    canvas.rect("search-space", place.stretch(search.at.0, search.at.1), &[("fill", "none")]);
}

/// The band's edges.
pub(crate) fn band_edges(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let Some(search) = marks.search else { return };
    let color = canvas.colors.band;
    for magnitude in [search.at.0, search.at.1] {
        let (from, to) = place.across(magnitude);
        canvas.line("edge", from, to, color, &[("stroke-width", "1.2"), ("stroke-dasharray", BAND_DASH)]);
    }
}

/// The line at ε.
pub(crate) fn epsilon_line(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let Some(mark) = marks.epsilon.filter(|mark| 0.0 < mark.at && place.scale.holds(mark.at.log10())) else { return };
    let (from, to) = place.across(mark.at);
    let color = canvas.colors.accent;
    canvas.line("epsilon", from, to, color, &[("stroke-width", "1.8"), ("stroke-dasharray", EPSILON_DASH)]);
}

/// Names of the band and the line: in the plot of magnitudes upwards, in a row above the plot of others.
pub(crate) fn labels(canvas: &mut Canvas, place: Place, marks: &Marks) {
    match place.along {
        Along::X => labels_above(canvas, place, marks),
        Along::Y => labels_inside(canvas, place, marks),
    }
}

fn labels_inside(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let plot = place.plot;
    let room = plot.width - 16.0;
    if let Some(search) = marks.search {
        let top = place.stretch(search.at.0, search.at.1).y;
        let label = search_label(search).cut(room, SIZE, Face::Medium);
        let color = canvas.colors.band;
        let place = (plot.x + 8.0, top + 15.0);
        canvas.text(
            &label,
            place,
            Lettering { face: Face::Medium, plate: true, ..Lettering::new(SIZE, color, Anchor::Start) },
        );
    }
    if let Some(mark) = marks.epsilon.filter(|mark| 0.0 < mark.at && place.scale.holds(mark.at.log10())) {
        let ((_, y), _) = place.across(mark.at);
        let above = if y - plot.y < 18.0 { y + 14.0 } else { y - 6.0 };
        let label = epsilon_label(mark).cut(room, SIZE, Face::Medium);
        let color = canvas.colors.accent;
        let lettering = Lettering { face: Face::Medium, plate: true, ..Lettering::new(SIZE, color, Anchor::End) };
        canvas.text(&label, (plot.right() - 8.0, above), lettering);
    }
}

/// In the strip above the plot: over the band, and beside the line.
fn labels_above(canvas: &mut Canvas, place: Place, marks: &Marks) {
    let plot = place.plot;
    let y = plot.y - 6.0;
    let mut taken: Option<(f64, f64)> = None;
    if let Some(search) = marks.search {
        let band = place.stretch(search.at.0, search.at.1);
        let label = search_label(search).cut(plot.width, SIZE, Face::Medium);
        let width = label.width(SIZE, Face::Medium);
        let x = within(band.x + band.width / 2.0, width, plot);
        taken = Some((x - width / 2.0 - 8.0, x + width / 2.0 + 8.0));
        let color = canvas.colors.band;
        canvas.text(&label, (x, y), Lettering { face: Face::Medium, ..Lettering::new(SIZE, color, Anchor::Middle) });
    }
    if let Some(mark) = marks.epsilon.filter(|mark| 0.0 < mark.at && place.scale.holds(mark.at.log10())) {
        let ((at, _), _) = place.across(mark.at);
        let label = epsilon_label(mark).cut(plot.width, SIZE, Face::Medium);
        let width = label.width(SIZE, Face::Medium);
        let x = within(at, width, plot);
        let is_clear = taken.is_none_or(|(start, end)| x + width / 2.0 < start || end < x - width / 2.0);
        let color = canvas.colors.accent;
        let lettering = Lettering { face: Face::Medium, ..Lettering::new(SIZE, color, Anchor::Middle) };
        if is_clear {
            canvas.text(&label, (x, y), lettering);
        } else {
            // Beside the line, on the side that has more room.
            let is_left = at - plot.x < plot.width / 2.0;
            let (x, anchor) = if is_left { (at + 8.0, Anchor::Start) } else { (at - 8.0, Anchor::End) };
            canvas.text(&label, (x, plot.y + 16.0), Lettering { anchor, plate: true, ..lettering });
        }
    }
}

/// The middle of something of a width, moved so that it stays above the plot.
fn within(middle: f64, width: f64, plot: Rect) -> f64 {
    let half = width / 2.0;
    if plot.width <= width { plot.x + plot.width / 2.0 } else { middle.clamp(plot.x + half, plot.right() - half) }
}

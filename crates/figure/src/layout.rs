//! Panels on a page: one beside and below the other, with axes that can be compared.

use crate::canvas::{Anchor, Canvas, Lettering, Rect};
use crate::color::Theme;
use crate::data::{Figure, Form, Heading, Panel};
use crate::font::Face;
use crate::scale::magnitude_range;
use crate::text::Text;
use crate::{bounds, curves, heat_map, search_spaces};

const TITLE_SIZE: f64 = 14.0;
const SUBTITLE_SIZE: f64 = 11.0;
/// Title and subtitle.
const HEADING: f64 = 46.0;
/// Around the page.
const EDGE: f64 = 6.0;
/// A panel's usual size.
const USUAL: (f64, f64) = (640.0, 390.0);
/// What a panel cannot be drawn below.
const LEAST: (f64, f64) = (260.0, 180.0);
/// Panels side by side, unless their number is given.
const MOST_COLUMNS: usize = 2;
/// Of a page, in either direction: what takes a picture of 400 megapixels serves nobody.
const MOST: f64 = 20_000.0;

/// How a figure is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Style {
    /// Its ground.
    pub theme: Theme,
    /// Width and height in pixels; as panels need it unless given.
    pub size: Option<(f64, f64)>,
    /// Panels side by side; at most two unless given.
    pub columns: Option<usize>,
}

/// Why a figure cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FigureError {
    /// There is no panel.
    #[error("nothing to draw: expected at least one panel")]
    Empty,
    /// Give it more room, or draw fewer panels.
    #[error("{0} x {1} pixels for a panel: expected at least {least_width} x {least_height}; make the figure greater or draw less", least_width = LEAST.0, least_height = LEAST.1)]
    TooSmall(i64, i64),
    /// Give it less.
    #[error("{0} x {1} pixels: expected at most {MOST} each way; draw fewer panels")]
    TooGreat(i64, i64),
}

/// What panels of the same kind share, so that they can be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    /// Decades of magnitudes.
    pub(crate) magnitudes: (i32, i32),
    /// The greatest density.
    pub(crate) most: f64,
}

/// The figure as SVG.
///
/// # Errors
/// [`FigureError`] if there is nothing to draw, or too little room for it.
///
/// # Examples
/// ```
/// use epsiloscope_figure::{Curve, Curves, Figure, Form, Heading, Marks, Measure, Panel, Style, Text, svg};
/// use epsiloscope_histogram::Histogram;
///
/// let panel = Panel::Curves(Curves {
///     heading: Heading { title: Text::from("mine"), subtitle: Text::from("all tensors") },
///     form: Form::Density,
///     measure: Measure::Gradient,
///     curves: vec![Curve { name: Text::from("all steps"), histogram: Histogram::from_bins([(-120, 3), (-119, 5)]) }],
///     is_sequence: false,
///     marks: Marks::default(),
/// });
/// let text = svg(&Figure { panels: vec![panel] }, Style::default())?;
/// assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
/// # Ok::<(), epsiloscope_figure::FigureError>(())
/// ```
pub fn svg(figure: &Figure, style: Style) -> Result<String, FigureError> {
    let n_columns = style.columns.unwrap_or(MOST_COLUMNS).clamp(1, figure.panels.len().max(1));
    let rows = rows(&figure.panels, n_columns);
    let heights: Vec<f64> = rows.iter().map(|row| row.iter().map(usual_height).fold(0.0, f64::max)).collect();
    let usual: f64 = heights.iter().sum();
    let (width, height) = style.size.unwrap_or((2.0 * EDGE + n_columns as f64 * USUAL.0, 2.0 * EDGE + usual));
    let panel_width = (width - 2.0 * EDGE) / n_columns as f64;
    let stretch = (height - 2.0 * EDGE) / usual.max(1.0);
    check(figure, (width, height), panel_width, heights.iter().map(|height| stretch * height))?;
    let mut canvas = Canvas::new(width, height, style.theme, &description(figure));
    let mut y = EDGE;
    for (row, height) in rows.iter().zip(&heights) {
        for (column, panel) in row.iter().enumerate() {
            let x = EDGE + panel_width * column as f64;
            let area = Rect { x, y, width: panel_width, height: stretch * height };
            draw_panel(&mut canvas, panel, area, shared(figure, panel));
        }
        y += stretch * height;
    }
    Ok(canvas.finish())
}

/// Panels of a kind follow each other, and where there are several of some kind, each kind begins a row.
fn rows(panels: &[Panel], n_columns: usize) -> Vec<&[Panel]> {
    let kinds: Vec<&[Panel]> = panels.chunk_by(|a, b| class(a) == class(b)).collect();
    if kinds.iter().all(|kind| kind.len() < 2) {
        return panels.chunks(n_columns).collect();
    }
    kinds.into_iter().flat_map(|kind| kind.chunks(n_columns)).collect()
}

fn check(
    figure: &Figure,
    (width, height): (f64, f64),
    panel_width: f64,
    panel_heights: impl Iterator<Item = f64>,
) -> Result<(), FigureError> {
    if figure.panels.is_empty() {
        return Err(FigureError::Empty);
    }
    let least = panel_heights.fold(f64::INFINITY, f64::min);
    if panel_width < LEAST.0 || least < LEAST.1.min(usual_least(figure)) {
        return Err(FigureError::TooSmall(panel_width as i64, least as i64));
    }
    if MOST < width || MOST < height {
        return Err(FigureError::TooGreat(width as i64, height as i64));
    }
    Ok(())
}

/// A panel of few rows is usually lower than others may be.
fn usual_least(figure: &Figure) -> f64 {
    figure.panels.iter().map(usual_height).fold(f64::INFINITY, f64::min)
}

fn usual_height(panel: &Panel) -> f64 {
    match panel {
        Panel::HeatMap(_) | Panel::Curves(_) => USUAL.1,
        Panel::Bounds(bounds) => HEADING + bounds.usual_height(),
        Panel::SearchSpaces(spaces) => HEADING + spaces.usual_height(),
    }
}

/// The part of an area that axes leave: so much to the left, to the right and below.
pub(crate) fn margins(area: Rect, left: f64, right: f64, bottom: f64) -> Rect {
    Rect {
        x: area.x + left,
        y: area.y,
        width: (area.width - left - right).max(1.0),
        height: (area.height - bottom).max(1.0),
    }
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, area: Rect, shared: Shared) {
    let below = Rect { y: area.y + HEADING, height: area.height - HEADING, ..area };
    canvas.group(class(panel), |canvas| {
        draw_heading(canvas, heading(panel), area);
        match panel {
            Panel::HeatMap(map) => heat_map::draw(canvas, map, below, shared),
            Panel::Curves(of) => curves::draw(canvas, of, below, shared),
            Panel::Bounds(of) => bounds::draw(canvas, of, below, shared.magnitudes),
            Panel::SearchSpaces(of) => search_spaces::draw(canvas, of, below, shared.magnitudes),
        }
    });
}

fn class(panel: &Panel) -> &'static str {
    match panel {
        Panel::HeatMap(_) => "panel heat-map",
        Panel::Curves(curves) if curves.form == Form::Density => "panel histogram",
        Panel::Curves(_) => "panel cumulative",
        Panel::Bounds(_) => "panel bounds",
        Panel::SearchSpaces(_) => "panel search-spaces",
    }
}

fn heading(panel: &Panel) -> &Heading {
    match panel {
        Panel::HeatMap(map) => &map.heading,
        Panel::Curves(curves) => &curves.heading,
        Panel::Bounds(bounds) => &bounds.heading,
        Panel::SearchSpaces(spaces) => &spaces.heading,
    }
}

fn draw_heading(canvas: &mut Canvas, heading: &Heading, area: Rect) {
    let room = area.width - 24.0;
    let (text, muted) = (canvas.colors.text, canvas.colors.muted);
    let title = Lettering { face: Face::Medium, ..Lettering::new(TITLE_SIZE, text, Anchor::Start) };
    let subtitle = Lettering::new(SUBTITLE_SIZE, muted, Anchor::Start);
    for (words, y, lettering) in [(&heading.title, 18.0, title), (&heading.subtitle, 34.0, subtitle)] {
        let cut = words.cut(room, lettering.size, lettering.face);
        canvas.titled_text(&cut, (area.x + 10.0, area.y + y), lettering, (cut != *words).then_some(words));
    }
}

/// The axes of all panels of this one's kind that show the same.
fn shared(figure: &Figure, panel: &Panel) -> Shared {
    let same = figure.panels.iter().filter(|other| is_comparable(panel, other));
    let magnitudes = magnitude_range(same.clone().flat_map(magnitudes)).unwrap_or((-1, 0));
    Shared { magnitudes, most: same.map(most).fold(0.0, f64::max) }
}

fn is_comparable(panel: &Panel, other: &Panel) -> bool {
    match (panel, other) {
        (Panel::HeatMap(a), Panel::HeatMap(b)) => a.measure == b.measure,
        (Panel::Curves(a), Panel::Curves(b)) => a.measure == b.measure && a.form == b.form,
        (Panel::Bounds(a), Panel::Bounds(b)) => a.optimizer == b.optimizer,
        (Panel::SearchSpaces(_), Panel::SearchSpaces(_)) => true,
        _ => false,
    }
}

fn magnitudes(panel: &Panel) -> Vec<f64> {
    match panel {
        Panel::HeatMap(map) => map.magnitudes().collect(),
        Panel::Curves(curves) => curves.magnitudes().collect(),
        Panel::Bounds(bounds) => bounds.magnitudes().collect(),
        Panel::SearchSpaces(spaces) => spaces.magnitudes().collect(),
    }
}

fn most(panel: &Panel) -> f64 {
    match panel {
        Panel::HeatMap(map) => map.most(),
        Panel::Curves(curves) => curves.most(),
        Panel::Bounds(_) | Panel::SearchSpaces(_) => 0.0,
    }
}

/// What the figure shows, in words, for those who do not see it.
fn description(figure: &Figure) -> String {
    let sentence = |panel: &Panel| {
        let heading = heading(panel);
        let what = match panel {
            Panel::HeatMap(map) => Text::from("Heat map of ").join(map.measure.name()).and(" through training"),
            Panel::Curves(of) if of.form == Form::Density => Text::from("Histogram of ").join(of.measure.name()),
            Panel::Curves(of) => Text::from("Cumulative share of ").join(of.measure.name()),
            Panel::Bounds(of) => Text::from(format!("Bounds of ε of {} by {}", of.optimizer, of.noun).as_str()),
            Panel::SearchSpaces(_) => Text::from("Search spaces of ε"),
        };
        format!("{}: {}; {}.", what.plain(), heading.title.plain(), heading.subtitle.plain())
    };
    figure.panels.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

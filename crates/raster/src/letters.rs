//! Text as outlines of the fonts that come with figures.

use epsiloscope_figure::FONTS;
use roxmltree::Node;
use ttf_parser::{Face, GlyphId, OutlineBuilder};
use zeno::{Command, Fill, PathBuilder};

use crate::document::{Fault, cover, number_or, required};
use crate::paint::paint;
use crate::pixels::Pixels;

/// A stretch of letters set alike.
struct Span<'a> {
    text: &'a str,
    face: &'a Face<'static>,
    size: f64,
    /// Down from where the letters before stand.
    shift: f64,
}

pub(crate) fn draw(node: Node<'_, '_>, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    let faces = faces()?;
    let spans = spans(node, &faces)?;
    let (x, y): (f64, f64) = (required(node, "x")?, required(node, "y")?);
    let width: f64 = spans.iter().map(width).sum();
    let start = match node.attribute("text-anchor") {
        Some("middle") => x - width / 2.0,
        Some("end") => x - width,
        _ => x,
    };
    let is_upwards = node.attribute("transform").is_some();
    let mut path = Vec::new();
    let mut pen = (start, y);
    for span in &spans {
        pen.1 += span.shift;
        for letter in span.text.chars() {
            let (glyph, advance) = glyph(span, letter);
            let turned = is_upwards.then_some((x, y));
            let units = span.size / f64::from(span.face.units_per_em());
            let mut outline = Outline { path: &mut path, pen, units, turned };
            span.face.outline_glyph(glyph, &mut outline);
            pen.0 += advance;
        }
    }
    if let Some(fill) = paint(node, "fill", (0.0, 0.0))? {
        cover(&path[..], Fill::NonZero, &fill, scale, pixels);
    }
    Ok(())
}

/// Upright, slanted, medium.
fn faces() -> Result<[Face<'static>; 3], Fault> {
    let [upright, slanted, medium] = FONTS.map(|font| Face::parse(font, 0));
    let fault = |fault: ttf_parser::FaceParsingError| Fault(fault.to_string());
    Ok([upright.map_err(fault)?, slanted.map_err(fault)?, medium.map_err(fault)?])
}

fn spans<'a>(node: Node<'a, 'a>, faces: &'a [Face<'static>; 3]) -> Result<Vec<Span<'a>>, Fault> {
    let size: f64 = required(node, "font-size")?;
    let usual = if node.attribute("font-weight").is_some() { &faces[2] } else { &faces[0] };
    let mut spans = Vec::new();
    for child in node.children() {
        match child.tag_name().name() {
            "title" => {}
            "tspan" => spans.push(Span {
                text: child.text().unwrap_or_default(),
                face: if child.attribute("font-style").is_some() { &faces[1] } else { usual },
                size: number_or(child, "font-size", size)?,
                shift: number_or(child, "dy", 0.0)?,
            }),
            _ => spans.extend(child.text().map(|text| Span { text, face: usual, size, shift: 0.0 })),
        }
    }
    Ok(spans)
}

fn width(span: &Span<'_>) -> f64 {
    span.text.chars().map(|letter| glyph(span, letter).1).sum()
}

/// A letter's shape and how far it takes the pen; of one that the font lacks, the box that stands for it.
fn glyph(span: &Span<'_>, letter: char) -> (GlyphId, f64) {
    let glyph = span.face.glyph_index(letter).unwrap_or(GlyphId(0));
    let advance = span.face.glyph_hor_advance(glyph).unwrap_or(0);
    (glyph, span.size * f64::from(advance) / f64::from(span.face.units_per_em()))
}

/// The outline of a letter in pixels of the figure.
struct Outline<'a> {
    path: &'a mut Vec<Command>,
    pen: (f64, f64),
    units: f64,
    /// About what it is turned to read upwards.
    turned: Option<(f64, f64)>,
}

impl Outline<'_> {
    fn place(&self, x: f32, y: f32) -> [f32; 2] {
        let (x, y) = (self.pen.0 + self.units * f64::from(x), self.pen.1 - self.units * f64::from(y));
        let (x, y) = self.turned.map_or((x, y), |(cx, cy)| (cx + (y - cy), cy - (x - cx)));
        [x as f32, y as f32]
    }
}

impl OutlineBuilder for Outline<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        self.path.move_to(to);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        self.path.line_to(to);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (control, to) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(control, to);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, to) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.curve_to(first, second, to);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

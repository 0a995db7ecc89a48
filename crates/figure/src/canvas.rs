//! SVG, element by element.

use std::fmt::Write as _;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use crate::color::{Colors, Theme};
use crate::font::{FAMILY, Face};
use crate::text::{Set, Text};

/// A place on the page.
///
/// # Units
/// Pixels, from the upper left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rect {
    pub(crate) fn right(self) -> f64 {
        self.x + self.width
    }

    pub(crate) fn bottom(self) -> f64 {
        self.y + self.height
    }
}

/// Where text stands relative to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How text is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lettering {
    pub(crate) size: f64,
    pub(crate) face: Face,
    pub(crate) color: &'static str,
    pub(crate) anchor: Anchor,
    /// Turned so that it reads upwards.
    pub(crate) upwards: bool,
    /// On a plate of the ground's colour, over what is drawn.
    pub(crate) plate: bool,
}

impl Lettering {
    pub(crate) fn new(size: f64, color: &'static str, anchor: Anchor) -> Self {
        Self { size, face: Face::Regular, color, anchor, upwards: false, plate: false }
    }
}

/// What is drawn so far.
pub(crate) struct Canvas {
    writer: Writer<Vec<u8>>,
    pub(crate) theme: Theme,
    pub(crate) colors: Colors,
    n_ids: usize,
}

impl Canvas {
    /// A page of a size, and what it shows in words.
    pub(crate) fn new(width: f64, height: f64, theme: Theme, description: &str) -> Self {
        let colors = theme.colors();
        let mut canvas = Self { writer: Writer::new(Vec::new()), theme, colors, n_ids: 0 };
        let (w, h) = (number(width), number(height));
        canvas.open(
            "svg",
            &[
                ("xmlns", "http://www.w3.org/2000/svg"),
                // Blanks of names are drawn as they are.
                ("xml:space", "preserve"),
                ("width", &w),
                ("height", &h),
                ("viewBox", &format!("0 0 {w} {h}")),
                ("role", "img"),
                ("font-family", FAMILY),
            ],
        );
        canvas.worded("desc", description);
        canvas.empty("rect", &[("class", "ground"), ("width", &w), ("height", &h), ("fill", colors.ground)]);
        canvas
    }

    /// The page as text.
    pub(crate) fn finish(mut self) -> String {
        self.close("svg");
        String::from_utf8(self.writer.into_inner()).expect("text is written as text")
    }

    /// A name that no other element of the page has.
    pub(crate) fn id(&mut self, of: &str) -> String {
        self.n_ids += 1;
        format!("{of}-{}", self.n_ids)
    }

    pub(crate) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.event(Event::Start(element(name, attributes)));
        self.new_line();
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
        self.new_line();
    }

    pub(crate) fn group(&mut self, class: &str, draw: impl FnOnce(&mut Self)) {
        self.open("g", &[("class", class)]);
        draw(self);
        self.close("g");
    }

    /// What is drawn outside a rectangle is not seen.
    pub(crate) fn clipped(&mut self, to: Rect, draw: impl FnOnce(&mut Self)) {
        let id = self.id("clip");
        self.open("clipPath", &[("id", &id)]);
        self.rect("", to, &[]);
        self.close("clipPath");
        self.open("g", &[("clip-path", &format!("url(#{id})"))]);
        draw(self);
        self.close("g");
    }

    pub(crate) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.event(Event::Empty(element(name, attributes)));
        self.new_line();
    }

    /// Words of a page that are not drawn: what it shows, or a tooltip.
    pub(crate) fn worded(&mut self, name: &str, words: &str) {
        self.event(Event::Start(BytesStart::new(name)));
        self.event(Event::Text(BytesText::new(words)));
        self.event(Event::End(BytesEnd::new(name)));
        self.new_line();
    }

    pub(crate) fn rect(&mut self, class: &str, rect: Rect, more: &[(&str, &str)]) {
        let places = [rect.x, rect.y, rect.width.max(0.0), rect.height.max(0.0)].map(number);
        let names = ["x", "y", "width", "height"];
        let mut attributes = if class.is_empty() { Vec::new() } else { vec![("class", class)] };
        attributes.extend(names.into_iter().zip(places.iter().map(String::as_str)));
        attributes.extend_from_slice(more);
        self.empty("rect", &attributes);
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64), stroke: &str, more: &[(&str, &str)]) {
        let places = [from.0, from.1, to.0, to.1].map(number);
        let mut attributes = vec![("class", class)];
        attributes.extend(["x1", "y1", "x2", "y2"].into_iter().zip(places.iter().map(String::as_str)));
        attributes.push(("stroke", stroke));
        attributes.extend_from_slice(more);
        self.empty("line", &attributes);
    }

    pub(crate) fn path(&mut self, class: &str, path: &str, more: &[(&str, &str)]) {
        let mut attributes = vec![("class", class), ("d", path)];
        attributes.extend_from_slice(more);
        self.empty("path", &attributes);
    }

    /// Text at a place on its base line.
    pub(crate) fn text(&mut self, text: &Text, (x, y): (f64, f64), lettering: Lettering) {
        self.titled_text(text, (x, y), lettering, None);
    }

    /// Text with a tooltip, which has whole what was cut.
    pub(crate) fn titled_text(&mut self, text: &Text, (x, y): (f64, f64), lettering: Lettering, whole: Option<&Text>) {
        if lettering.plate {
            self.plate(text, (x, y), lettering);
        }
        let [x, y, size] = [x, y, lettering.size].map(number);
        let turn = format!("rotate(-90 {x} {y})");
        let mut attributes = vec![("x", x.as_str()), ("y", &y), ("font-size", &size), ("fill", lettering.color)];
        match lettering.anchor {
            Anchor::Start => {}
            Anchor::Middle => attributes.push(("text-anchor", "middle")),
            Anchor::End => attributes.push(("text-anchor", "end")),
        }
        if lettering.face == Face::Medium {
            attributes.push(("font-weight", "500"));
        }
        if lettering.upwards {
            attributes.push(("transform", &turn));
        }
        self.event(Event::Start(element("text", &attributes)));
        if let Some(whole) = whole {
            self.event(Event::Start(BytesStart::new("title")));
            self.event(Event::Text(BytesText::new(&whole.plain())));
            self.event(Event::End(BytesEnd::new("title")));
        }
        self.spans(text, lettering.size);
        self.event(Event::End(BytesEnd::new("text")));
        self.new_line();
    }

    fn plate(&mut self, text: &Text, (x, y): (f64, f64), lettering: Lettering) {
        let (width, size) = (text.width(lettering.size, lettering.face), lettering.size);
        let start = match lettering.anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let rect = Rect { x: start - 3.0, y: y - 1.02 * size, width: width + 6.0, height: 1.36 * size };
        let ground = self.colors.ground;
        self.rect("plate", rect, &[("rx", "3"), ("fill", ground), ("fill-opacity", "0.86")]);
    }

    fn spans(&mut self, text: &Text, size: f64) {
        let mut raised = 0.0;
        for span in text.spans() {
            let raise = span.set.raise(size);
            let (shift, smaller) = (number(raised - raise), number(span.set.size(size)));
            let mut attributes = Vec::new();
            if (raised - raise).abs() > f64::EPSILON {
                attributes.push(("dy", shift.as_str()));
            }
            match span.set {
                Set::Raised => attributes.push(("font-size", &smaller)),
                Set::Slanted => attributes.push(("font-style", "italic")),
                Set::Upright => {}
            }
            raised = raise;
            if attributes.is_empty() {
                self.event(Event::Text(BytesText::new(&span.text)));
            } else {
                self.event(Event::Start(element("tspan", &attributes)));
                self.event(Event::Text(BytesText::new(&span.text)));
                self.event(Event::End(BytesEnd::new("tspan")));
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.writer.write_event(event).expect("memory takes what it is given");
    }

    fn new_line(&mut self) {
        self.writer.get_mut().push(b'\n');
    }
}

fn element<'a>(name: &'a str, attributes: &[(&'a str, &'a str)]) -> BytesStart<'a> {
    BytesStart::new(name).with_attributes(attributes.iter().copied())
}

/// Pixels to a hundredth.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A path along some points.
pub(crate) fn polyline(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Memory takes what it is given.
        let _ = write!(path, "{command}{} {}", number(x), number(y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_no_element() {
        let mut canvas = Canvas::new(10.0, 10.0, Theme::Light, "</desc><script>");
        let name = Text::from("</text><script>alert(\"1\")&amp;");
        canvas.titled_text(&name, (1.0, 1.0), Lettering::new(11.0, "#000", Anchor::Start), Some(&name));
        let text = canvas.finish();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;") && text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn what_follows_a_power_stands_on_the_line_again() {
        let mut canvas = Canvas::new(10.0, 10.0, Theme::Light, "");
        canvas.text(&Text::default().power(-8).and(" x"), (1.0, 2.0), Lettering::new(10.0, "#000", Anchor::Start));
        let text = canvas.finish();
        assert!(
            text.contains(r#"10<tspan dy="-3.6" font-size="7.2">−8</tspan><tspan dy="3.6"> x</tspan></text>"#),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.001, 1.5, 100.0, -2.346].map(number), ["0", "0", "1.5", "100", "-2.35"]);
    }
}

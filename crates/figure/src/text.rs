//! Text that is set: upright, slanted, raised. Whatever is made of a name is harmless from then on.

use std::fmt::Write;

use crate::font::{Face, width};

/// Raised text, beside the size of what it stands beside.
const RAISED_SIZE: f64 = 0.72;
/// How far raised text is raised, of that size.
const RAISE: f64 = 0.36;

/// A line of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) set: Set,
}

/// How text is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Upright,
    Slanted,
    Raised,
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::default().and(text)
    }
}

impl Text {
    /// With more text after it.
    #[must_use]
    pub fn and(self, text: &str) -> Self {
        self.with(text, Set::Upright)
    }

    /// With slanted text after it, as symbols are.
    #[must_use]
    pub fn italic(self, text: &str) -> Self {
        self.with(text, Set::Slanted)
    }

    /// With a power of ten after it.
    #[must_use]
    pub fn power(self, exponent: i32) -> Self {
        self.and("10").with(&exponent.to_string().replace('-', "−"), Set::Raised)
    }

    /// With a magnitude after it, three digits at most: `10⁻⁸`, `3.2×10⁻⁴`.
    #[must_use]
    pub fn magnitude(self, value: f64) -> Self {
        let text = format!("{value:.2e}");
        let parsed = text.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse().ok()?)));
        let Some((digits, exponent)) = parsed else { return self.and(&text) };
        match digits.trim_end_matches('0').trim_end_matches('.') {
            "1" => self.power(exponent),
            digits => self.and(&format!("{digits}×")).power(exponent),
        }
    }

    /// Both, one after the other.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.spans.extend(other.spans);
        self
    }

    fn with(mut self, text: &str, set: Set) -> Self {
        if !text.is_empty() {
            self.spans.push(Span { text: harmless(text), set });
        }
        self
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// As one line without any setting: powers as `10^-8`.
    pub fn plain(&self) -> String {
        let mut line = String::new();
        for span in &self.spans {
            let raised = if span.set == Set::Raised { "^" } else { "" };
            // Memory takes what it is given.
            let _ = write!(line, "{raised}{}", span.text);
        }
        line
    }

    /// Its width, as the fonts that come with this crate have it.
    ///
    /// # Units
    /// Pixels, as `size` is.
    pub(crate) fn width(&self, size: f64, face: Face) -> f64 {
        self.spans.iter().map(|span| width(&span.text, span.set.size(size), span.set.face(face))).sum()
    }

    /// As much of it as is no wider than some pixels: what is too long loses its middle.
    pub(crate) fn cut(&self, most: f64, size: f64, face: Face) -> Self {
        if self.width(size, face) <= most {
            return self.clone();
        }
        let letters: Vec<(char, Set)> =
            self.spans.iter().flat_map(|span| span.text.chars().map(|letter| (letter, span.set))).collect();
        let kept = |n: usize| {
            let (head, tail) = (n.div_ceil(2), n / 2);
            let dots = [('…', Set::Upright)];
            Self::of_letters(letters[..head].iter().chain(&dots).chain(&letters[letters.len() - tail..]))
        };
        // Widths grow with the letters that are kept.
        let (mut fits, mut too_many) = (0, letters.len());
        while fits + 1 < too_many {
            let middle = usize::midpoint(fits, too_many);
            if kept(middle).width(size, face) <= most { fits = middle } else { too_many = middle }
        }
        kept(fits)
    }

    fn of_letters<'a>(letters: impl Iterator<Item = &'a (char, Set)>) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        for &(letter, set) in letters {
            match spans.last_mut() {
                Some(last) if last.set == set => last.text.push(letter),
                _ => spans.push(Span { text: letter.to_string(), set }),
            }
        }
        Self { spans }
    }
}

impl Set {
    pub(crate) fn size(self, size: f64) -> f64 {
        if self == Self::Raised { RAISED_SIZE * size } else { size }
    }

    /// By how much it stands above the line.
    pub(crate) fn raise(self, size: f64) -> f64 {
        if self == Self::Raised { RAISE * size } else { 0.0 }
    }

    fn face(self, face: Face) -> Face {
        if self == Self::Slanted { Face::Italic } else { face }
    }
}

/// Text without control characters, and without what XML cannot hold.
fn harmless(text: &str) -> String {
    let held = |c: char| match c {
        '\u{fffe}' | '\u{ffff}' => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    epsiloscope_format::escaped(text).chars().map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_set_as_powers() {
        let plain = |value| Text::default().magnitude(value).plain();
        assert_eq!(
            [1e-8, 3.2e-4, 0.012_345, 1.0, 9.999e5].map(plain),
            ["10^−8", "3.2×10^−4", "1.23×10^−2", "10^0", "10^6"]
        );
        assert_eq!(plain(0.0), "0×10^0");
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        let name = Text::from("encoder.layers.11.self_attention.out_proj.weight");
        let cut = name.cut(120.0, 11.0, Face::Regular);
        let plain = cut.plain();
        assert!(cut.width(11.0, Face::Regular) <= 120.0 && cut.width(11.0, Face::Regular) > 105.0);
        assert!(plain.starts_with("encoder.la") && plain.contains('…') && plain.ends_with(".weight"), "{plain}");
        assert_eq!(name.cut(1000.0, 11.0, Face::Regular), name);
        assert_eq!(name.cut(0.0, 11.0, Face::Regular).plain(), "…");
    }

    #[test]
    fn nothing_that_xml_or_a_terminal_acts_on_stays() {
        assert_eq!(Text::from("a\u{1b}[31m\u{0}\u{ffff}\u{202e}").plain(), "a\\u{1b}[31m\\u{0}\\u{ffff}\\u{202e}");
    }
}

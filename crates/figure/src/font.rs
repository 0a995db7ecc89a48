//! The fonts that figures are set in, and how wide they run.
//!
//! Roboto, unmodified, Apache License 2.0; the licence stands beside the files. A viewer without it takes Helvetica or Arial,
//! which run within a few percent of it; nothing here rests on less.

use std::sync::OnceLock;

use ttf_parser::Face as Parsed;

const REGULAR: &[u8] = include_bytes!("../assets/fonts/Roboto-Regular.ttf");
const ITALIC: &[u8] = include_bytes!("../assets/fonts/Roboto-Italic.ttf");
const MEDIUM: &[u8] = include_bytes!("../assets/fonts/Roboto-Medium.ttf");

/// Font files for whoever makes pixels of a figure: upright, slanted, medium.
pub const FONTS: [&[u8]; 3] = [REGULAR, ITALIC, MEDIUM];

/// What figures ask viewers for.
pub(crate) const FAMILY: &str = "Roboto, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// One of the fonts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Regular,
    Italic,
    Medium,
}

/// Of a letter that the font lacks, in its size.
const UNKNOWN_ADVANCE: f64 = 1.0;

/// The width of some text without kerning, which would make it narrower.
pub(crate) fn width(text: &str, size: f64, face: Face) -> f64 {
    let parsed = parsed(face);
    let units = f64::from(parsed.units_per_em());
    let advance = |letter: char| {
        let glyph = parsed.glyph_index(letter).and_then(|glyph| parsed.glyph_hor_advance(glyph));
        glyph.map_or(UNKNOWN_ADVANCE, |advance| f64::from(advance) / units)
    };
    size * text.chars().map(advance).sum::<f64>()
}

fn parsed(face: Face) -> &'static Parsed<'static> {
    static PARSED: [OnceLock<Parsed<'static>>; 3] = [const { OnceLock::new() }; 3];
    PARSED[face as usize]
        .get_or_init(|| Parsed::parse(FONTS[face as usize], 0).expect("the fonts that come along are sound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_its_letters() {
        assert!((width("00", 10.0, Face::Regular) - 2.0 * width("0", 10.0, Face::Regular)).abs() < 1e-9);
        // 1151 of 2048 units.
        assert!((width("0", 10.0, Face::Regular) - 10.0 * 1151.0 / 2048.0).abs() < 1e-9);
        assert!(width("weight", 10.0, Face::Regular) < width("weight", 10.0, Face::Medium));
    }
}

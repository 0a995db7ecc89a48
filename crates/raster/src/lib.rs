//! Figures as PNG: the SVG of `epsiloscope-figure`, drawn by zeno in the fonts that come with it.
//!
//! Of SVG this crate knows what figures are made of, and refuses everything else: rectangles, lines, paths, circles, text
//! with spans, images with a palette, upright gradients, rectangular clips. So both are one figure, the same text gives the
//! same pixels on every machine, and nothing is loaded. Letters that the fonts lack are drawn as empty boxes; pairs of
//! letters are not kerned.
//!
//! What this crate does not do: it lays nothing out and chooses no colour.

mod document;
mod image;
mod letters;
mod paint;
mod pixels;

use epsiloscope_figure::png as encoder;
use roxmltree::Document;

use crate::document::{Fault, draw, length};
use crate::pixels::Pixels;

/// Pixels of a picture: what is greater takes gigabytes and is no figure.
pub const MAX_PIXELS: f64 = 1e8;
/// Pixels of a figure to an inch, as browsers have it.
const PER_INCH: f64 = 96.0;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RasterError {
    /// The text is no XML.
    #[error("cannot read the figure")]
    Xml(#[from] roxmltree::Error),
    /// The text is not a figure of `epsiloscope-figure`.
    #[error("cannot draw the figure: {0}")]
    Unknown(String),
    /// Choose a smaller size or scale.
    #[error("{0} x {1} pixels: expected at least one and at most {MAX_PIXELS:.0e}; choose another size or scale")]
    Size(i64, i64),
}

impl From<Fault> for RasterError {
    fn from(Fault(reason): Fault) -> Self {
        Self::Unknown(reason)
    }
}

/// A figure as a PNG, `scale` pixels to each of its own; the file says how great that is on paper.
///
/// # Errors
/// [`RasterError`] if the text is not a figure, or the picture is too great.
///
/// # Examples
/// ```
/// let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"><rect width="8" height="4" fill="#000000"/></svg>"##;
/// assert!(epsiloscope_raster::png(svg, 2.0)?.starts_with(b"\x89PNG"));
/// # Ok::<(), epsiloscope_raster::RasterError>(())
/// ```
pub fn png(svg: &str, scale: f64) -> Result<Vec<u8>, RasterError> {
    let document = Document::parse(svg)?;
    let root = document.root_element();
    let [width, height] = ["width", "height"].map(|side| length(root, side).map(|side| (side * scale).round()));
    let (width, height) = (width?, height?);
    let is_possible = 1.0 <= width && 1.0 <= height && width * height <= MAX_PIXELS;
    if !is_possible {
        return Err(RasterError::Size(width as i64, height as i64));
    }
    let mut pixels = Pixels::white(width as usize, height as usize);
    draw(root, scale, &mut pixels)?;
    let per_metre = (scale * PER_INCH / 0.0254).round() as u32;
    Ok(encoder::encoded(pixels.width, encoder::Content::Rgb { per_metre }, pixels.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(inside: &str) -> String {
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><rect width="60" height="20" fill="#ffffff"/>{inside}</svg>"##
        )
    }

    /// The pixels of a page at a scale.
    fn drawn(inside: &str, scale: f64) -> Pixels {
        let text = page(inside);
        let document = Document::parse(&text).unwrap();
        let mut pixels = Pixels::white((60.0 * scale) as usize, (20.0 * scale) as usize);
        draw(document.root_element(), scale, &mut pixels).unwrap();
        pixels
    }

    #[test]
    fn rectangles_stand_where_they_are_at_any_scale() {
        for scale in [1.0, 2.0, 3.5] {
            let pixels = drawn(r##"<rect x="10" y="4" width="10" height="8" fill="#ff0000"/>"##, scale);
            let at = |x: f64, y: f64| pixels.at((x * scale) as usize, (y * scale) as usize);
            assert_eq!([at(10.5, 4.5), at(19.5, 11.5)], [[255, 0, 0]; 2]);
            assert_eq!([at(9.0, 8.0), at(21.0, 8.0), at(15.0, 3.0), at(15.0, 13.0)], [[255; 3]; 4]);
        }
    }

    #[test]
    fn opacity_mixes_and_clips_cut() {
        let pixels = drawn(r##"<rect x="0" y="0" width="9" height="9" fill="#000000" fill-opacity="0.5"/>"##, 1.0);
        assert_eq!(pixels.at(4, 4), [128; 3]);
        let clip = r##"<clipPath id="c"><rect x="5" y="5" width="5" height="5"/></clipPath><g clip-path="url(#c)"><rect x="0" y="0" width="60" height="20" fill="#000000"/></g><rect x="20" y="0" width="1" height="1" fill="#000000"/>"##;
        let pixels = drawn(clip, 1.0);
        assert_eq!(
            [pixels.at(4, 5), pixels.at(5, 5), pixels.at(9, 9), pixels.at(10, 9)],
            [[255; 3], [0; 3], [0; 3], [255; 3]]
        );
        assert_eq!(pixels.at(20, 0), [0; 3], "a clip ends with its group");
    }

    #[test]
    fn lines_are_as_thick_as_they_say_and_have_dashes() {
        let line =
            r##"<line x1="0" y1="10" x2="60" y2="10" stroke="#000000" stroke-width="4" stroke-dasharray="10 5"/>"##;
        let pixels = drawn(line, 1.0);
        assert_eq!(
            [pixels.at(5, 7), pixels.at(5, 8), pixels.at(5, 11), pixels.at(5, 12)],
            [[255; 3], [0; 3], [0; 3], [255; 3]]
        );
        assert_eq!([pixels.at(12, 10), pixels.at(16, 10)], [[255; 3], [0; 3]]);
    }

    #[test]
    fn text_stands_at_its_anchor() {
        let ink = |attributes: &str| {
            let pixels =
                drawn(&format!(r##"<text x="30" y="15" font-size="14" fill="#000000"{attributes}>ε</text>"##), 1.0);
            let columns = (0..60).filter(|&x| (0..20).any(|y| pixels.at(x, y)[0] < 128));
            let columns: Vec<usize> = columns.collect();
            (columns[0], *columns.last().unwrap())
        };
        let (start, middle, end) = (ink(""), ink(r#" text-anchor="middle""#), ink(r#" text-anchor="end""#));
        assert!(30 <= start.0 && start.1 < 40 && 20 <= end.0 && end.1 < 30, "{start:?} {end:?}");
        assert!(middle.0 < 30 && 30 <= middle.1, "{middle:?}");
        assert_ne!(ink(""), ink(r#" transform="rotate(-90 30 15)""#));
    }

    #[test]
    fn gradients_go_upwards() {
        let gradient = r##"<linearGradient id="g"><stop offset="0" stop-color="#000000"/><stop offset="1" stop-color="#ffffff"/></linearGradient><rect x="0" y="0" width="10" height="20" fill="url(#g)"/>"##;
        let pixels = drawn(gradient, 1.0);
        let column: Vec<u8> = (0..20).map(|y| pixels.at(5, y)[0]).collect();
        assert!(column.windows(2).all(|pair| pair[1] < pair[0]) && column[0] > 240 && column[19] < 15, "{column:?}");
    }

    #[test]
    fn what_is_not_a_figure_is_refused() {
        assert!(matches!(png("<svg", 1.0), Err(RasterError::Xml(_))));
        for inside in
            ["<ellipse/>", r#"<rect width="1"/>"#, r#"<image href="/etc/passwd" x="0" y="0" width="1" height="1"/>"#]
        {
            assert!(matches!(png(&page(inside), 1.0), Err(RasterError::Unknown(_))), "{inside}");
        }
        for scale in [1e4, 0.0, f64::NAN] {
            assert!(matches!(png(&page(""), scale), Err(RasterError::Size(..))), "{scale}");
        }
    }
}

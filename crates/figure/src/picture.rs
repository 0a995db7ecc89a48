//! A heat map's cells as an image that stands in the SVG: a page of a hundred thousand rectangles would open in no editor.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::color::{Theme, density_color};
use crate::png::{Content, encoded};

/// Colours of density that an image tells apart; one more entry of its palette is clear.
pub(crate) const LEVELS: usize = 255;

/// Palette indices, row by row from above; 0 is clear.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) indices: Vec<u8>,
}

impl Picture {
    pub(crate) fn clear(width: usize, height: usize) -> Self {
        Self { width, indices: vec![0; width * height] }
    }

    /// The index of a share of the scale above zero.
    pub(crate) fn level(share: f64) -> u8 {
        1 + ((LEVELS - 1) as f64 * share.clamp(0.0, 1.0)).round() as u8
    }

    /// Fills some rows of a column of pixels.
    pub(crate) fn fill(&mut self, x: usize, rows: std::ops::Range<usize>, index: u8) {
        for y in rows {
            self.indices[y * self.width + x] = index;
        }
    }

    /// As a `data:` URL of a PNG with a palette.
    pub(crate) fn data_url(&self, theme: Theme) -> String {
        format!("data:image/png;base64,{}", BASE64.encode(self.png(theme)))
    }

    fn png(&self, theme: Theme) -> Vec<u8> {
        let shares = (0..LEVELS).map(|level| level as f64 / (LEVELS - 1) as f64);
        let palette: Vec<[u8; 3]> =
            [[0, 0, 0]].into_iter().chain(shares.map(|share| density_color(share, theme))).collect();
        encoded(self.width, Content::Palette(&palette), &self.indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_a_higher_level_and_nothing_is_clear() {
        assert_eq!((Picture::level(0.0), Picture::level(1.0), Picture::level(2.0)), (1, 255, 255));
        let mut picture = Picture::clear(3, 2);
        picture.fill(1, 0..2, Picture::level(1.0));
        assert_eq!(picture.indices, [0, 255, 0, 0, 255, 0]);
    }
}

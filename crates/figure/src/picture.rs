//! A heat map's cells as an image that stands in the SVG: a page of a hundred thousand rectangles would open in no editor.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use crate::color::{Theme, density_color};

/// Colours of density that an image tells apart; one more entry of its palette is clear.
pub(crate) const LEVELS: usize = 255;

/// Palette indices, row by row from above; 0 is clear.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) indices: Vec<u8>,
}

impl Picture {
    pub(crate) fn clear(width: usize, height: usize) -> Self {
        Self { width, height, indices: vec![0; width * height] }
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

    /// As the PNG specification has it (ISO/IEC 15948): signature, header, palette, its opacities, pixels, end.
    fn png(&self, theme: Theme) -> Vec<u8> {
        let shares = (0..LEVELS).map(|level| level as f64 / (LEVELS - 1) as f64);
        let palette: Vec<u8> =
            [[0, 0, 0]].into_iter().chain(shares.map(|share| density_color(share, theme))).flatten().collect();
        let sides = [self.width, self.height].map(|side| (side as u32).to_be_bytes());
        // Eight bits a pixel, by palette; compressed, filtered and not interlaced as everything is.
        let header = [&sides[0][..], &sides[1], &[8, 3, 0, 0, 0]].concat();
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for (name, content) in
            [(b"IHDR", header), (b"PLTE", palette), (b"tRNS", vec![0]), (b"IDAT", self.pixels()), (b"IEND", Vec::new())]
        {
            chunk(&mut bytes, *name, &content);
        }
        bytes
    }

    /// Rows, each less the one above it, which most repeat.
    fn pixels(&self) -> Vec<u8> {
        const UP: u8 = 2;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let mut above = vec![0; self.width];
        for row in self.indices.chunks(self.width.max(1)) {
            let less: Vec<u8> =
                [UP].into_iter().chain(row.iter().zip(&above).map(|(here, above)| here.wrapping_sub(*above))).collect();
            encoder.write_all(&less).expect("memory takes what it is given");
            above.copy_from_slice(row);
        }
        encoder.finish().expect("memory takes what it is given")
    }
}

/// Length, name, content, and the checksum of the last two.
fn chunk(bytes: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
    let mut sum = Crc::new();
    sum.update(&name);
    sum.update(content);
    bytes.extend((content.len() as u32).to_be_bytes());
    bytes.extend(name);
    bytes.extend(content);
    bytes.extend(sum.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_with_their_checksums() {
        let mut bytes = Vec::new();
        chunk(&mut bytes, *b"IEND", &[]);
        // As in every PNG.
        assert_eq!(bytes, [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
    }

    #[test]
    fn more_is_a_higher_level_and_nothing_is_clear() {
        assert_eq!((Picture::level(0.0), Picture::level(1.0), Picture::level(2.0)), (1, 255, 255));
        let mut picture = Picture::clear(3, 2);
        picture.fill(1, 0..2, Picture::level(1.0));
        assert_eq!(picture.indices, [0, 255, 0, 0, 255, 0]);
    }
}

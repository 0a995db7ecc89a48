//! PNG files (ISO/IEC 15948): of the cells of a heat map, and of whole figures.
//!
//! Rows are written less the one above, which most of a figure's rows repeat.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// What pixels are.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Places in a palette, a byte each. The first colour is clear.
    Palette(&'a [[u8; 3]]),
    /// Red, green and blue, a byte each.
    Rgb {
        /// Pixels to a metre, for who prints it.
        per_metre: u32,
    },
}

/// A file of some pixels, row by row from above.
///
/// # Panics
/// If the pixels do not fill rows of the width.
pub fn encoded(width: usize, content: Content<'_>, pixels: &[u8]) -> Vec<u8> {
    let (kind, row_bytes) = match content {
        Content::Palette(_) => (3, width),
        Content::Rgb { .. } => (2, 3 * width),
    };
    assert!(0 < row_bytes && pixels.len().is_multiple_of(row_bytes), "pixels fill rows");
    let sides = [width, pixels.len() / row_bytes].map(|side| (side as u32).to_be_bytes());
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    // Eight bits a value; compressed, filtered and not interlaced as everything is.
    chunk(&mut bytes, *b"IHDR", &[&sides[0][..], &sides[1], &[8, kind, 0, 0, 0]].concat());
    match content {
        Content::Palette(colors) => {
            chunk(&mut bytes, *b"PLTE", colors.as_flattened());
            chunk(&mut bytes, *b"tRNS", &[0]);
        }
        Content::Rgb { per_metre } => {
            let side = per_metre.to_be_bytes();
            chunk(&mut bytes, *b"pHYs", &[&side[..], &side, &[1]].concat());
        }
    }
    chunk(&mut bytes, *b"IDAT", &compressed(pixels, row_bytes));
    chunk(&mut bytes, *b"IEND", &[]);
    bytes
}

fn compressed(pixels: &[u8], row_bytes: usize) -> Vec<u8> {
    const UP: u8 = 2;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut above = vec![0; row_bytes];
    let mut less = vec![UP; 1 + row_bytes];
    for row in pixels.chunks(row_bytes) {
        for (less, (here, above)) in less[1..].iter_mut().zip(row.iter().zip(&above)) {
            *less = here.wrapping_sub(*above);
        }
        encoder.write_all(&less).expect("memory takes what it is given");
        above.copy_from_slice(row);
    }
    encoder.finish().expect("memory takes what it is given")
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
    fn a_file_says_how_great_it_is() {
        let bytes = encoded(2, Content::Rgb { per_metre: 7559 }, &[0; 18]);
        assert_eq!(bytes[16..26], [0, 0, 0, 2, 0, 0, 0, 3, 8, 2]);
        assert!(
            bytes
                .windows(13)
                .any(|window| window == [b"pHYs", &[0, 0, 0x1d, 0x87][..], &[0, 0, 0x1d, 0x87], &[1]].concat())
        );
    }
}

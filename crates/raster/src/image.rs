//! The image of a heat map's cells, as `epsiloscope-figure` writes it.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use roxmltree::Node;

use crate::document::{Fault, box_of};
use crate::pixels::Pixels;

/// Palette indices, row by row; 0 is clear.
struct Image {
    width: usize,
    height: usize,
    palette: Vec<[u8; 3]>,
    indices: Vec<u8>,
}

/// Each pixel takes the cell that its middle lies in.
pub(crate) fn draw(node: Node<'_, '_>, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    let url = node.attribute("href").unwrap_or_default();
    let bytes = url.strip_prefix("data:image/png;base64,").and_then(|text| BASE64.decode(text).ok());
    let image =
        bytes.as_deref().and_then(decoded).ok_or_else(|| Fault("an image that is none of a heat map".to_owned()))?;
    let [x, y, width, height] = box_of(node)?.map(|side| scale * side);
    let (page_width, page_height) = pixels.size();
    let range =
        |from: f64, length: f64, page: i64| (from.round() as i64).max(0)..((from + length).round() as i64).min(page);
    for row in range(y, height, page_height) {
        let Some(from) = cell(row, y, height, image.height) else { continue };
        for column in range(x, width, page_width) {
            let index = cell(column, x, width, image.width).map_or(0, |at| image.indices[from * image.width + at]);
            if let Some(&color) = image.palette.get(usize::from(index)).filter(|_| 0 < index) {
                pixels.set(column, row, color);
            }
        }
    }
    Ok(())
}

/// Which of so many cells along a stretch the middle of a pixel is in.
fn cell(pixel: i64, from: f64, length: f64, n_cells: usize) -> Option<usize> {
    let share = (pixel as f64 + 0.5 - from) / length;
    (0.0..1.0).contains(&share).then(|| ((share * n_cells as f64) as usize).min(n_cells - 1))
}

/// A PNG with a palette whose rows are each less the one above; `None` if it is another.
fn decoded(bytes: &[u8]) -> Option<Image> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let (mut header, mut palette, mut compressed) = (&[][..], &[][..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (name, after) = after.split_first_chunk::<4>()?;
        let (content, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        match name {
            b"IHDR" => header = content,
            b"PLTE" => palette = content,
            b"IDAT" => compressed.extend_from_slice(content),
            _ => {}
        }
        // Behind the checksum.
        rest = after.get(4..)?;
    }
    let side = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?) as usize);
    let (width, height) = (side(0)?, side(4)?);
    if header.get(8..) != Some(&[8, 3, 0, 0, 0]) || width == 0 {
        return None;
    }
    let n_bytes = (width as u64 + 1).checked_mul(height as u64)?;
    let mut rows = Vec::new();
    ZlibDecoder::new(&compressed[..]).take(n_bytes).read_to_end(&mut rows).ok()?;
    let palette = palette.chunks_exact(3).map(|color| [color[0], color[1], color[2]]).collect();
    let indices = (rows.len() as u64 == n_bytes).then(|| unfiltered(&rows, width))??;
    Some(Image { width, height, palette, indices })
}

fn unfiltered(rows: &[u8], width: usize) -> Option<Vec<u8>> {
    const UP: u8 = 2;
    let mut indices: Vec<u8> = Vec::with_capacity(rows.len());
    for row in rows.chunks(width + 1) {
        let (filter, less) = row.split_first()?;
        let above = indices.len().checked_sub(width);
        if *filter != UP {
            return None;
        }
        for (x, less) in less.iter().enumerate() {
            let above = above.map_or(0, |above| indices[above + x]);
            indices.push(less.wrapping_add(above));
        }
    }
    Some(indices)
}

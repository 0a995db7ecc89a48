//! Pixels, and masks through which they are painted.

use zeno::Placement;

use crate::paint::Paint;

/// A picture without transparency.
pub(crate) struct Pixels {
    pub(crate) width: usize,
    height: usize,
    /// Red, green, blue, row by row from above.
    bytes: Vec<u8>,
    /// Left, top, right and bottom of what may be painted.
    clip: (i64, i64, i64, i64),
}

impl Pixels {
    pub(crate) fn white(width: usize, height: usize) -> Self {
        Self { width, height, bytes: vec![255; 3 * width * height], clip: (0, 0, width as i64, height as i64) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cfg(test)]
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2]]
    }

    /// Does something within a rectangle, in pixels.
    pub(crate) fn clipped<T>(
        &mut self,
        (left, top, right, bottom): (f64, f64, f64, f64),
        draw: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer = self.clip;
        let [left, top, right, bottom] = [left, top, right, bottom].map(|edge| edge.round() as i64);
        self.clip = (outer.0.max(left), outer.1.max(top), outer.2.min(right), outer.3.min(bottom));
        let done = draw(self);
        self.clip = outer;
        done
    }

    /// Paints through a mask of coverage.
    pub(crate) fn cover(&mut self, mask: &[u8], place: Placement, paint: &Paint) {
        let (left, top) = (i64::from(place.left), i64::from(place.top));
        let (width, height) = (i64::from(place.width), i64::from(place.height));
        let (x_from, x_to) = (self.clip.0.max(left), self.clip.2.min(left + width));
        for y in self.clip.1.max(top)..self.clip.3.min(top + height) {
            let color = paint.at(y as f64 + 0.5);
            for x in x_from..x_to {
                let coverage = mask[((y - top) * width + x - left) as usize];
                if 0 < coverage {
                    self.mix(x as usize, y as usize, color, paint.opacity * f64::from(coverage) / 255.0);
                }
            }
        }
    }

    /// Sets one pixel, if it may be painted.
    pub(crate) fn set(&mut self, x: i64, y: i64, color: [u8; 3]) {
        let (left, top, right, bottom) = self.clip;
        if (left..right).contains(&x) && (top..bottom).contains(&y) {
            self.mix(x as usize, y as usize, color, 1.0);
        }
    }

    pub(crate) fn size(&self) -> (i64, i64) {
        (self.width as i64, self.height as i64)
    }

    fn mix(&mut self, x: usize, y: usize, color: [u8; 3], weight: f64) {
        let at = 3 * (y * self.width + x);
        for (present, new) in self.bytes[at..at + 3].iter_mut().zip(color) {
            let mixed = f64::from(*present) + weight * (f64::from(new) - f64::from(*present));
            *present = mixed.round() as u8;
        }
    }
}

//! From values to pixels.

/// Decades that an axis has at most: what lies farther out than floats go is no magnitude.
const MOST_DECADES: f64 = 330.0;

/// A linear map of a domain onto a stretch of pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The values at its ends.
    pub(crate) domain: (f64, f64),
    /// Where its ends are.
    pub(crate) pixels: (f64, f64),
}

impl Scale {
    pub(crate) fn at(self, value: f64) -> f64 {
        let ((low, high), (start, end)) = (self.domain, self.pixels);
        start + (value - low) / (high - low) * (end - start)
    }

    /// Where a value is, or the end that it lies beyond.
    pub(crate) fn clamped(self, value: f64) -> f64 {
        self.at(value.clamp(self.domain.0, self.domain.1))
    }

    pub(crate) fn length(self) -> f64 {
        (self.pixels.1 - self.pixels.0).abs()
    }

    pub(crate) fn holds(self, value: f64) -> bool {
        (self.domain.0..=self.domain.1).contains(&value)
    }
}

/// Whole decades around some exponents of ten, at least one.
pub fn whole_decades(least: f64, greatest: f64) -> (i32, i32) {
    let end = |exponent: f64| exponent.clamp(-MOST_DECADES, MOST_DECADES) as i32;
    let (low, high) = (end(least.floor()), end(greatest.ceil()));
    (low, high.max(low + 1))
}

/// Whole decades around some magnitudes; what is not above zero is left out. `None` if nothing is left.
pub fn magnitude_range(values: impl IntoIterator<Item = f64>) -> Option<(i32, i32)> {
    let exponents = values.into_iter().filter(|value| 0.0 < *value && value.is_finite()).map(f64::log10);
    let hull = exponents.fold(None, |hull: Option<(f64, f64)>, exponent| {
        Some(hull.map_or((exponent, exponent), |(low, high)| (low.min(exponent), high.max(exponent))))
    });
    hull.map(|(low, high)| whole_decades(low, high))
}

/// The exponents that are labelled on a logarithmic axis, so far apart that labels stand clear.
pub(crate) fn decade_ticks((low, high): (i32, i32), length: f64, apart: f64) -> Vec<i32> {
    let fits = ((length / apart) as i32).max(1);
    let strides = [1, 2, 4, 5, 10, 20, 50, 100, 200, 500];
    let stride = strides.into_iter().find(|stride| (high - low) / stride <= fits).unwrap_or(1000);
    (low..=high).filter(|exponent| exponent % stride == 0).collect()
}

/// Round values from the least to the greatest, about so many: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn linear_ticks(least: f64, greatest: f64, about: usize) -> Vec<f64> {
    let rough = (greatest - least) / about.max(1) as f64;
    if rough <= 0.0 || !rough.is_finite() {
        return vec![least];
    }
    let power = 10f64.powi(rough.log10().floor() as i32);
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| rough <= factor * power * 1.0001);
    let step = round.unwrap_or(10.0) * power;
    let multiples = (least / step - 1e-9).ceil() as i64..=(greatest / step + 1e-9).floor() as i64;
    multiples.map(|index| index as f64 * step).collect()
}

/// A round value as it is written: as many digits as it takes.
pub(crate) fn written(value: f64) -> String {
    if value.abs() >= 1000.0 {
        return grouped(value.round() as i64);
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

/// A whole number in thin groups of three digits, `60 000`.
pub fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "−".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_what_they_are_around() {
        assert_eq!(whole_decades(-4.2, -1.0), (-5, -1));
        assert_eq!(whole_decades(-3.0, -3.0), (-3, -2));
        assert_eq!(whole_decades(-11.5, 0.5), (-12, 1));
        assert_eq!(whole_decades(-12.5, -1.5), (-13, -1));
        assert_eq!(magnitude_range([1e-5, 0.0, f64::INFINITY, 2.0]), Some((-5, 1)));
        assert_eq!(magnitude_range([0.0, f64::NAN]), None);
    }

    #[test]
    fn ticks_are_round_and_stand_clear() {
        assert_eq!(decade_ticks((-9, 0), 400.0, 30.0).len(), 10);
        assert_eq!(decade_ticks((-12, 2), 200.0, 30.0), [-12, -8, -4, 0]);
        assert_eq!(decade_ticks((-300, 40), 10.0, 30.0), [-200, 0]);
        let texts =
            |least, greatest, about| linear_ticks(least, greatest, about).into_iter().map(written).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 0.95, 5), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(
            texts(0.0, 5000.0, 5),
            ["0", "1\u{202f}000", "2\u{202f}000", "3\u{202f}000", "4\u{202f}000", "5\u{202f}000"]
        );
        assert_eq!(texts(1.0, 1.0, 5), ["1"]);
        assert_eq!((grouped(60_000), grouped(-999)), ("60\u{202f}000".to_owned(), "−999".to_owned()));
    }

    #[test]
    fn values_map_onto_pixels() {
        let scale = Scale { domain: (-8.0, 0.0), pixels: (400.0, 0.0) };
        assert!((scale.at(-2.0) - 100.0).abs() < 1e-9 && (scale.clamped(3.0)).abs() < 1e-9);
        assert!(scale.holds(-8.0) && !scale.holds(0.1));
    }
}

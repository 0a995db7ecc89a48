//! Numbers in their ranges.

pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    in_range(text, |value| 0.0 <= value && value.is_finite(), "a finite number, 0 or more")
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    in_range(text, |value| 0.0 < value && value.is_finite(), "a finite number above 0")
}

pub(crate) fn decay(text: &str) -> Result<f64, String> {
    in_range(text, |value| (0.0..1.0).contains(&value), "a number in [0, 1)")
}

fn in_range(text: &str, accepts: fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&value| accepts(value)).ok_or_else(|| format!("expected {expected}"))
}

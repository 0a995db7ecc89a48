//! Numbers as people read them.

/// A magnitude with three significant digits in scientific notation, `1.23e-5`.
pub(crate) fn magnitude(value: f64) -> String {
    let text = format!("{value:.2e}");
    text.replace(".00e", "e")
}

/// A power of ten, `1e-8`.
pub(crate) fn power(exponent: i32) -> String {
    format!("1e{exponent}")
}

/// A share as a percentage with one decimal, never rounded to none or all.
pub(crate) fn percent(share: f64) -> String {
    if 0.0 < share && share < 0.001 {
        "less than 0.1 %".to_owned()
    } else if 0.999 < share && share < 1.0 {
        "more than 99.9 %".to_owned()
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}

/// Bytes in binary units.
pub(crate) fn bytes(value: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{size:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(magnitude(1.0e-8), "1e-8");
        assert_eq!(magnitude(0.012_345), "1.23e-2");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!((percent(0.0).as_str(), percent(1e-9).as_str()), ("0.0 %", "less than 0.1 %"));
    }
}

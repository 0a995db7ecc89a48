//! Values as DuckDB's SQL spells them, without a control character in the text.

use std::path::Path;

use polars::prelude::AnyValue;

/// Text: quotes doubled, and whatever a terminal would act upon by its number.
///
/// # Examples
/// `it's` is `'it''s'`, and an escape character between `a` and `b` is `concat('a', chr(27), 'b')`: a chain of `||` would nest too
/// deeply for DuckDB where there are many.
pub(crate) fn text(text: &str) -> String {
    let is_hidden = |c: char| epsiloscope_format::escaped(c.encode_utf8(&mut [0; 4])) != c.to_string();
    let chars: Vec<char> = text.chars().collect();
    if !chars.iter().any(|&c| is_hidden(c)) {
        return quoted(text);
    }
    // Hidden characters one by one, what lies between them together.
    let pieces = chars.chunk_by(|&a, &b| !is_hidden(a) && !is_hidden(b)).map(|piece| match *piece {
        [c] if is_hidden(c) => format!("chr({})", c as u32),
        _ => quoted(&piece.iter().collect::<String>()),
    });
    format!("concat({})", pieces.collect::<Vec<_>>().join(", "))
}

fn quoted(plain: &str) -> String {
    format!("'{}'", plain.replace('\'', "''"))
}

/// A path that is no pattern: `*`, `?` and `[` stand for themselves.
pub(crate) fn path(path: &Path) -> String {
    let is_special = |c: char| "*?[".contains(c);
    let spelled = path.display().to_string();
    text(&spelled.chars().map(|c| if is_special(c) { format!("[{c}]") } else { c.to_string() }).collect::<String>())
}

/// Any value of a result.
pub(crate) fn value(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => "NULL".to_owned(),
        AnyValue::String(string) => text(string),
        AnyValue::StringOwned(string) => text(string),
        AnyValue::Float32(number) => format!("{number:e}"),
        AnyValue::Float64(number) => format!("{number:e}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_its_quotes_doubled_and_nothing_that_a_terminal_acts_upon() {
        for (name, spelled) in [
            ("", "''"),
            ("it's", "'it''s'"),
            ("\u{1b}", "concat(chr(27))"),
            ("a\u{1b}b", "concat('a', chr(27), 'b')"),
            ("\u{1b}\u{202e}'", "concat(chr(27), chr(8238), '''')"),
        ] {
            assert_eq!(text(name), spelled);
        }
    }
}

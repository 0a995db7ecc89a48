//! Values as DuckDB's SQL spells them, without a control character in the text.

use std::path::Path;

use polars::prelude::AnyValue;

/// Text: quotes doubled, and whatever a terminal would act upon by its number.
///
/// # Examples
/// `it's` is `'it''s'`, and an escape character between `a` and `b` is `('a' || chr(27) || 'b')`.
pub(crate) fn text(text: &str) -> String {
    let is_hidden = |c: char| epsiloscope_format::escaped(c.encode_utf8(&mut [0; 4])) != c.to_string();
    if !text.chars().any(is_hidden) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        if is_hidden(c) {
            pieces.push(format!("chr({})", c as u32));
            pieces.push(String::new());
        } else if let Some(plain) = pieces.last_mut() {
            plain.push(c);
        }
    }
    let spelled = pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty());
    let spelled = spelled.map(
        |(index, piece)| {
            if index % 2 == 1 { piece.clone() } else { format!("'{}'", piece.replace('\'', "''")) }
        },
    );
    format!("({})", spelled.collect::<Vec<_>>().join(" || "))
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

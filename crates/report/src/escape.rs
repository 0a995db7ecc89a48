//! Names from files, made harmless for spreadsheets.

/// Text that no spreadsheet takes for a formula: after an apostrophe if it begins with `=`, `+`, `-`, `@`, a tab or a
/// carriage return.
pub(crate) fn without_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

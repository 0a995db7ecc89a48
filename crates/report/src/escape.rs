//! Names from files, made harmless for spreadsheets and tables.

use epsiloscope_format::escaped;

/// What spreadsheets take formulas to begin with: full-width signs are the same to some, and what stands before a sign may be
/// trimmed.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
/// Characters of a text in a table for people, every line of which is as wide as the longest: no name of a parameter has as many.
const MAX_CHARS: usize = 1000;
/// Characters of a longer one's end, by which names of tensors differ.
const END_CHARS: usize = 200;

/// Text that no spreadsheet takes for a formula: after an apostrophe if it begins like one.
pub(crate) fn without_formula(text: &str) -> String {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text.to_owned() }
}

/// A name as tables and notes for people have it: on one line, every character of it seen, the middle of a long one left
/// out.
pub(crate) fn shown(name: &str) -> String {
    let name = escaped(name);
    let n_chars = name.chars().count();
    if n_chars <= MAX_CHARS {
        return name;
    }
    let start = name.chars().take(MAX_CHARS - END_CHARS - 1);
    let end = name.chars().skip(n_chars - END_CHARS);
    start.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_ends() {
        let name = format!("{}.weight", "layer.".repeat(1000));
        let shown = shown(&name);
        assert_eq!(shown.chars().count(), MAX_CHARS);
        assert!(shown.starts_with("layer.layer.") && shown.ends_with("layer..weight"));
        assert_eq!(super::shown(&"ä".repeat(MAX_CHARS)), "ä".repeat(MAX_CHARS));
    }
}

//! Names from files, made harmless for terminals.

/// Text with control characters, line separators, direction marks and whatever else nobody sees written out as `\u{..}`.
///
/// Terminals act on C0 and C1 control characters; bidirectional marks make text read as something else.
///
/// # Examples
/// ```
/// assert_eq!(epsiloscope_format::escaped("conv1\u{1b}[31m"), "conv1\\u{1b}[31m");
/// ```
pub fn escaped(text: &str) -> String {
    let shown = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Whether a character is one that [`escaped`] escapes.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || is_unseen(c)
}

/// Unicode's format characters (category Cf) but for the signs that enclose numbers, which are seen, and its separators of
/// lines and paragraphs.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

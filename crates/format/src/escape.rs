//! Names from files, made harmless for terminals.

/// Text with control characters, line separators and invisible direction marks written out as `\u{..}`.
///
/// Terminals act on C0 and C1 control characters; bidirectional marks make text read as something else.
///
/// # Examples
/// ```
/// assert_eq!(epsiloscope_format::escaped("conv1\u{1b}[31m"), "conv1\\u{1b}[31m");
/// ```
pub fn escaped(text: &str) -> String {
    let is_hidden =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let shown = |c: char| if c.is_control() || is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

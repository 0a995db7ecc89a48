//! Letters in a buffer, cut where their place ends.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

/// Text at a place, no wider than so many letters' widths; nothing outside the buffer is touched.
pub(crate) fn put(buffer: &mut Buffer, x: u16, y: u16, text: &str, width: u16, style: Style) {
    if y < buffer.area.bottom() && x < buffer.area.right() {
        let room = width.min(buffer.area.right() - x);
        buffer.set_stringn(x, y, text, usize::from(room), style);
    }
}

/// One letter.
pub(crate) fn put_char(buffer: &mut Buffer, x: u16, y: u16, letter: char, style: Style) {
    if let Some(cell) = buffer.cell_mut((x, y)) {
        cell.set_char(letter);
        cell.set_style(style);
    }
}

/// The first lines of an area, and what is left below.
pub(crate) fn split(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let above = Rect { height, ..area };
    (above, Rect { y: area.y + height, height: area.height - height, ..area })
}

/// Words in lines of a width; a word that is wider than that is broken.
pub(crate) fn wrapped(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width.max(1));
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let length = line.chars().count();
            let gap = usize::from(length > 0);
            if length + gap + word.len() <= width {
                line.extend((gap > 0).then_some(' '));
                line.extend(word.drain(..));
            } else if length > 0 {
                lines.push(std::mem::take(&mut line));
            } else {
                lines.push(word.drain(..width).collect());
            }
        }
    }
    lines.extend((!line.is_empty()).then_some(line));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(wrapped("search ε of adam", 9), ["search ε", "of adam"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("ab c", 0), ["a", "b", "c"]);
        assert!(wrapped("  ", 5).is_empty());
    }

    #[test]
    fn nothing_is_put_outside() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 1));
        put(&mut buffer, 1, 0, "abc", 9, Style::default());
        put(&mut buffer, 5, 0, "abc", 9, Style::default());
        put_char(&mut buffer, 0, 7, 'x', Style::default());
        assert_eq!(buffer, Buffer::with_lines([" a"]));
    }
}

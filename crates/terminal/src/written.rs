//! A buffer as lines of text, with the sequences that colour it where there are colours.

use std::fmt::Write;

use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::{Color, Modifier};

/// The buffer's lines, without blanks at their ends; without colours or weights there is no escape sequence in it.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width.max(1))) {
        write_row(&mut text, row);
        text.push('\n');
    }
    text
}

fn write_row(text: &mut String, row: &[Cell]) {
    let is_blank = |cell: &Cell| cell.symbol() == " " && sequence(cell).is_empty();
    let end = row.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
    let mut present = String::new();
    let mut skipped = 0;
    for cell in &row[..end] {
        // What follows a wide letter is covered by it.
        if 0 < skipped {
            skipped -= 1;
            continue;
        }
        skipped = ratatui_core::text::Line::raw(cell.symbol()).width().saturating_sub(1);
        let wanted = sequence(cell);
        if wanted != present {
            // Memory takes what it is given.
            let _ = write!(text, "\u{1b}[0{wanted}m");
            present = wanted;
        }
        text.push_str(cell.symbol());
    }
    if !present.is_empty() {
        text.push_str("\u{1b}[0m");
    }
}

/// The parameters that set a cell's colours and weight after a reset; none if it has neither.
fn sequence(cell: &Cell) -> String {
    let mut sequence = String::new();
    if cell.modifier.contains(Modifier::BOLD) {
        sequence.push_str(";1");
    }
    if cell.modifier.contains(Modifier::DIM) {
        sequence.push_str(";2");
    }
    for (ground, color) in [(38, cell.fg), (48, cell.bg)] {
        // Memory takes what it is given.
        let _ = match color {
            Color::Rgb(red, green, blue) => write!(sequence, ";{ground};2;{red};{green};{blue}"),
            Color::Indexed(index) => write!(sequence, ";{ground};5;{index}"),
            _ => Ok(()),
        };
    }
    sequence
}

#[cfg(test)]
mod tests {
    use ratatui_core::layout::Rect;
    use ratatui_core::style::Style;

    use super::*;

    #[test]
    fn lines_end_with_their_last_letter() {
        assert_eq!(text(&Buffer::with_lines(["ab  ", "    "])), "ab\n\n");
    }

    #[test]
    fn colours_are_set_where_they_change_and_reset_at_the_end() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        let style = Style::default().fg(Color::Rgb(1, 2, 3)).bg(Color::Indexed(9));
        buffer.set_string(1, 0, "ab", style);
        assert_eq!(text(&buffer), " \u{1b}[0;38;2;1;2;3;48;5;9mab\u{1b}[0m\n");
    }

    #[test]
    fn wide_letters_take_two_places() {
        assert_eq!(text(&Buffer::with_lines(["層a"])), "層a\n");
    }
}

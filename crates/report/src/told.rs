//! A table and what is said below it, for people: as text, and as HTML for notebooks.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use quick_xml::escape::escape;

/// To which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers that stand below each other.
    Right,
}

/// A table and notes to it.
///
/// [`Display`](fmt::Display) writes aligned columns, an empty line and the notes, a line each.
#[derive(Clone, Debug)]
pub struct Told {
    header: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Told {
    /// A table without rows.
    pub(crate) fn new<'a>(header: impl IntoIterator<Item = (&'a str, Side)>) -> Self {
        let header = header.into_iter().map(|(name, side)| (name.to_owned(), side)).collect();
        Self { header, rows: Vec::new(), notes: Vec::new() }
    }

    /// Cells, each on one line.
    pub(crate) fn add_row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    pub(crate) fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// As a table and a list of HTML, in the colours of the page around it. Whatever names say stays text.
    pub fn html(&self) -> String {
        let header: Vec<&str> = self.header.iter().map(|(name, _)| name.as_str()).collect();
        let rows: Vec<String> = self.rows.iter().map(|row| self.html_row("td", row)).collect();
        let notes: Vec<String> = self.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
        let list = if notes.is_empty() { String::new() } else { format!("<ul>\n{}</ul>\n", notes.concat()) };
        let (head, body) = (self.html_row("th", &header), rows.concat());
        format!("<table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n{list}")
    }

    fn html_row<T: AsRef<str>>(&self, tag: &str, cells: &[T]) -> String {
        let cell = |(text, (_, side)): (&T, &(String, Side))| {
            let side = if *side == Side::Right { "right" } else { "left" };
            format!("<{tag} style=\"text-align: {side}\">{}</{tag}>", escape(text.as_ref()))
        };
        let cells: Vec<String> = cells.iter().zip(&self.header).map(cell).collect();
        format!("<tr>{}</tr>\n", cells.concat())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.header.iter().map(|(name, _)| name));
        for row in &self.rows {
            table.add_row(row);
        }
        for ((_, side), column) in self.header.iter().zip(table.column_iter_mut()) {
            column.set_padding((0, 2));
            if *side == Side::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        let mut told = Told::new([("run", Side::Left), ("step", Side::Right)]);
        told.add_row(["<b>a & 'b'".to_owned(), "12".to_owned()]);
        told.add_row(["c".to_owned(), "3".to_owned()]);
        told
    }

    #[test]
    fn text_is_aligned_and_notes_stand_below() {
        assert_eq!(told().to_string(), "run         step\n<b>a & 'b'    12\nc              3\n");
        let noted = told().with_notes(vec!["so".to_owned()]).to_string();
        assert_eq!(noted, format!("{}\n- so\n", told()));
    }

    #[test]
    fn names_are_no_markup() {
        let html = told().with_notes(vec!["<i>so".to_owned()]).html();
        assert!(html.contains("<td style=\"text-align: left\">&lt;b&gt;a &amp; &apos;b&apos;</td>"), "{html}");
        assert!(
            html.contains("<td style=\"text-align: right\">12</td>") && html.ends_with("<li>&lt;i&gt;so</li>\n</ul>\n")
        );
    }
}

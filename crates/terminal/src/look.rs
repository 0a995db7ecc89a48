//! Which letters and colours a terminal has.

use epsiloscope_figure::{Theme, density_color};
use ratatui_core::style::{Color, Style};

/// Colours that can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colors {
    /// None.
    #[default]
    None,
    /// The 256 of a palette.
    Palette,
    /// Every one.
    All,
}

/// What is drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub colors: Colors,
    /// Nothing but ASCII.
    pub ascii: bool,
}

/// Darkest to brightest, from nothing on.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
const ASCII_SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// Colours that read well on dark and on light grounds.
const ACCENT: [u8; 3] = [0xe8, 0x6f, 0x2c];
const BAND: [u8; 3] = [0x3d, 0x8f, 0xd1];
const SERIES: [u8; 3] = [0x35, 0x96, 0xab];
const OUTSIDE: [u8; 3] = [0x7d, 0x8a, 0x99];

impl Look {
    pub(crate) fn has_colors(self) -> bool {
        self.colors != Colors::None
    }

    /// Of ε.
    pub(crate) fn accent(self) -> Style {
        self.colored(ACCENT)
    }

    /// Of the search space.
    pub(crate) fn band(self) -> Style {
        self.colored(BAND)
    }

    /// Of bars inside the search space.
    pub(crate) fn series(self) -> Style {
        self.colored(SERIES)
    }

    /// Of bars outside.
    pub(crate) fn outside(self) -> Style {
        self.colored(OUTSIDE)
    }

    fn colored(self, color: [u8; 3]) -> Style {
        self.color(color).map_or_else(Style::default, |color| Style::default().fg(color))
    }

    /// The colour of a share of the scale of density.
    pub(crate) fn density(self, share: f64) -> Option<Color> {
        self.color(density_color(share, Theme::Dark))
    }

    fn color(self, [red, green, blue]: [u8; 3]) -> Option<Color> {
        match self.colors {
            Colors::None => None,
            Colors::All => Some(Color::Rgb(red, green, blue)),
            Colors::Palette => Some(Color::Indexed(nearest([red, green, blue]))),
        }
    }

    /// The letter of a share of the scale of density; nothing for nothing alone.
    pub(crate) fn shade(self, share: f64) -> char {
        let shades: &[char] = if self.ascii { &ASCII_SHADES } else { &SHADES };
        if share <= 0.0 {
            return shades[0];
        }
        let index = 1 + (share * (shades.len() - 1) as f64) as usize;
        shades[index.min(shades.len() - 1)]
    }

    /// One of two letters.
    pub(crate) fn letter(self, unicode: char, ascii: char) -> char {
        if self.ascii { ascii } else { unicode }
    }
}

/// The colour of the palette's cube of 6×6×6 that is nearest.
fn nearest(color: [u8; 3]) -> u8 {
    const LEVELS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    let place = |part: u8| {
        let distance = |&index: &usize| (LEVELS[index] - i32::from(part)).abs();
        (0..LEVELS.len()).min_by_key(distance).unwrap_or(0) as u8
    };
    let [red, green, blue] = color.map(place);
    16 + 36 * red + 6 * green + blue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_grow_with_the_share_and_are_empty_for_nothing_alone() {
        for ascii in [false, true] {
            let look = Look { ascii, ..Look::default() };
            let shades: Vec<char> = [0.0, 1e-9, 0.5, 1.0].map(|share| look.shade(share)).into();
            let expected = if ascii { [' ', '.', '+', '@'] } else { [' ', '░', '▓', '█'] };
            assert_eq!(shades, expected);
        }
    }

    #[test]
    fn colours_of_the_cube_are_themselves() {
        assert_eq!([[0, 0, 0], [255, 255, 255], [95, 135, 175]].map(nearest), [16, 231, 67]);
        assert_eq!(nearest([0x44, 0x01, 0x54]), 16 + 36 + 1);
    }
}

//! What standard output can show: how wide it is, in which colours.

use std::env;
use std::io::IsTerminal;

use clap::ValueEnum;
use epsiloscope_terminal::{Colors, Look};

/// Where output is no terminal.
const USUAL_SIZE: (u16, u16) = (80, 24);

#[derive(clap::Args)]
pub(crate) struct ScreenArgs {
    /// Colours: auto (in a terminal, unless `NO_COLOR` is set), always or never
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    color: When,
    /// Draw with ASCII letters alone
    #[arg(long)]
    ascii: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl ScreenArgs {
    pub(crate) fn look(&self) -> Look {
        let is_terminal = std::io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
        // https://no-color.org: set and not empty.
        let is_refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let has_colors = match self.color {
            When::Auto => is_terminal && !is_refused,
            When::Always => true,
            When::Never => false,
        };
        Look { colors: if has_colors { depth() } else { Colors::None }, ascii: self.ascii }
    }
}

/// Terminals that have every colour say so; the others have a palette.
fn depth() -> Colors {
    let has_all = env::var("COLORTERM").is_ok_and(|value| value == "truecolor" || value == "24bit");
    if has_all { Colors::All } else { Colors::Palette }
}

/// Width and height in letters.
pub(crate) fn size() -> (u16, u16) {
    if !std::io::stdout().is_terminal() {
        return USUAL_SIZE;
    }
    crossterm::terminal::size().ok().filter(|&(width, height)| 0 < width && 0 < height).unwrap_or(USUAL_SIZE)
}

/// Text that an ASCII terminal shows: the symbols of our own sentences in letters, others written out.
pub(crate) fn shown(text: &str, look: Look) -> String {
    if !look.ascii {
        return text.to_owned();
    }
    let letters = |c: char| match c {
        'ε' => "epsilon".to_owned(),
        '’' => "'".to_owned(),
        '…' => "...".to_owned(),
        '·' => "-".to_owned(),
        '±' => "+-".to_owned(),
        '\u{202f}' => " ".to_owned(),
        c if c.is_ascii() => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    text.chars().map(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_ascii() {
        let look = Look { ascii: true, ..Look::default() };
        assert_eq!(shown("the run’s ε of 1e-8, 60\u{202f}000 層", look), "the run's epsilon of 1e-8, 60 000 \\u{5c64}");
        assert_eq!(shown("ε", Look::default()), "ε");
    }
}

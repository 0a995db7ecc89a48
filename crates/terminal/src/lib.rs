//! Figures of a run in the terminal: its heat map and its histogram in letters.
//!
//! [`draw`] fills a buffer of ratatui, which a screen can show and a test can read; [`text`] writes one as lines. The
//! panels are those that `epsiloscope-figure` draws.
//!
//! | | with colours | without |
//! |---|---|---|
//! | heat map | half blocks: two magnitudes to a line | shades `░▒▓█` |
//! | histogram | eighths of blocks | the same |
//! | `--ascii` | letters ` .:-=+*#%@` in colours | the same letters |
//!
//! What this crate does not do: it looks at no terminal and reads no key.

mod heat;
mod histogram;
mod look;
mod portrait;
mod rows;
mod written;

pub use look::{Colors, Look};
pub use portrait::{Portrait, draw};
pub use written::text;

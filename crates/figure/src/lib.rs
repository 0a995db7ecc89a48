//! Figures of runs as SVG: magnitudes through training, histograms, bounds of ε, search spaces.
//!
//! Data in, text out: a [`Figure`] holds [`Panel`]s, which are plain data, and [`svg`] draws them. The same figure and
//! style give the same bytes. Text stays text; what names bring is escaped, cut where it is too long, and whole in the tooltip.
//!
//! - [`HeatMap`]: one column per window of steps, the density of log10 magnitude as colour, the search space of ε as a
//!   band and ε as a line.
//! - [`Curves`]: histograms, or shares below, of one or several windows or quantities.
//! - [`Bounds`]: what each tensor, layer or kind would set alone, those that set the run's bounds marked.
//! - [`SearchSpaces`]: of several runs and optimizers, below each other.
//!
//! Colours of density are viridis, which lightness alone orders; curves are told apart by colours that colour-blind eyes
//! tell apart, smooth ones by dashes as well.
//!
//! What this crate does not do: it reads no run and computes no statistic beyond shares and densities of histograms. Pixels
//! are made of its SVG by `epsiloscope-raster`.

mod axis;
mod bounds;
mod canvas;
mod color;
mod curves;
mod data;
mod font;
mod heat_map;
mod layout;
mod marks;
mod picture;
pub mod png;
mod scale;
mod search_spaces;
mod text;

pub use color::{Theme, density_color};
pub use curves::seen_ends;
pub use data::{
    BoundRow, Bounds, Column, Curve, Curves, EpsilonMark, EpsilonOf, Figure, Form, Heading, HeatMap, Interval, Marks,
    Measure, Panel, SearchMark, SearchSpaceRow, SearchSpaces,
};
pub use font::FONTS;
pub use heat_map::{Spans, spans};
pub use layout::{FigureError, Style, svg};
pub use scale::{grouped, magnitude_range, whole_decades};
pub use text::Text;

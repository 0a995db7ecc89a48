//! Gradient magnitude histograms: exact logarithmic bins, a counting kernel, order statistics with bounds.
//!
//! Slices of `f32` go in, counts come out. This crate has no dependencies and does no I/O; it knows
//! nothing of tensors, files, Arrow or optimizers.
//!
//! - [`bins`]: which bin a magnitude falls in, and where its edges are.
//! - [`Counter`]: counts a slice of floats, as fast as memory allows.
//! - [`Histogram`]: finished counts: merge, coarsen, order statistics, quantiles.
//! - [`Summary`]: what a tensor's values come to besides their histogram; [`Summarizer`] is one in the making.
//!
//! ```
//! use epsiloscope_histogram::Counter;
//!
//! let mut counter = Counter::new();
//! counter.count(&[1e-3, -2e-3, 0.0, f32::NAN]);
//! let histogram = counter.take();
//! assert_eq!((histogram.total(), histogram.zeros(), histogram.nan()), (2, 1, 1));
//! let median = histogram.order_statistic(1).unwrap();
//! assert!(median.lower() <= 2e-3 && 2e-3 < median.upper());
//! ```

pub mod bins;
mod counter;
pub mod device;
mod histogram;
mod image;
mod summary;

pub use bins::{BINS_PER_DECADE, BinRange};
pub use counter::Counter;
pub use histogram::{BinsPerDecadeError, Histogram, Quantile};
pub use image::{Image, Power};
pub use summary::{Summarizer, Summary};

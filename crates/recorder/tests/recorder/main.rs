//! The recorder in training loops of small networks, and what the run directory says afterwards.

#![expect(clippy::unwrap_used, clippy::float_cmp, reason = "a test may panic, and the same bits are expected")]

mod common;
mod failures;
mod recording;

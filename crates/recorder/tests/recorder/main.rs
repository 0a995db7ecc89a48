//! The recorder in training loops of small networks, and what the run directory says afterwards.

#![expect(clippy::unwrap_used, clippy::float_cmp, reason = "a test may panic, and the same bits are expected")]

mod common;
mod disks;
mod engines;
mod failures;
mod frozen;
mod gradients;
mod options;
mod processes;
mod recording;
mod resuming;

//! Every algorithm through the optimizer, as a training loop uses it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod refusals;
mod states;
mod updates;

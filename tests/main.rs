//! Everything that can be tested without libtorch, by subject.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests stop where something is off, and numbers are equal to the last bit"
)]

mod cli;
mod compact;
mod damaged;
mod diff;
mod effects;
mod estimates;
mod histograms;
mod interruptions;
mod invariants;
mod places;
mod ranks;
mod recorded_examples;
mod run_directory;
mod search_spaces;
mod synthetic;
mod verify;

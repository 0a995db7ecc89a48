//! Everything that can be tested without libtorch, by subject.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests stop where something is off, and numbers are equal to the last bit"
)]

mod analyze;
mod cli;
mod compact;
mod crafted;
mod damaged;
mod diff;
mod effects;
mod estimates;
mod every_byte;
mod figures;
mod histograms;
mod interruptions;
mod invariants;
mod many_damaged;
mod mutations;
mod places;
mod query;
mod ranks;
mod recorded_examples;
mod report_page;
mod resealed;
mod run_directory;
mod search;
mod search_spaces;
mod synthetic;
mod terminal;
mod values;
mod verify;

//! Everything that can be tested without libtorch, by subject.

mod cli;
mod damaged;
mod estimates;
mod histograms;
mod invariants;
mod run_directory;
mod synthetic;

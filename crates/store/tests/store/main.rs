//! Looking for runs and reading them, on this machine and in an object store in memory, which must agree.

#![expect(clippy::unwrap_used, reason = "tests stop where something is off")]

mod discovery;
mod links;
mod reading;
mod trees;

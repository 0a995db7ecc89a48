//! `epsiloscope-record`: trains reference networks and records their gradient magnitudes.
//!
//! Apart from libtorch it is an ordinary user of the recorder: [`train`] is the loop to copy into a program of one's own.

mod args;
mod dataset;
mod idx;
mod models;
mod output;
mod progress;
mod train;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Bad usage or bad input.
const FAULT: u8 = 2;

fn main() -> ExitCode {
    match train::run(&Args::parse()) {
        Ok(code) => code,
        Err(fault) => {
            // Without standard error there is nowhere left to tell.
            let _ = writeln!(std::io::stderr(), "epsiloscope-record: {fault:#}");
            ExitCode::from(FAULT)
        }
    }
}

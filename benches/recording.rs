//! What recording costs real training, as `epsiloscope-record estimate-cost` measures it for anyone; prints its tables.
//!
//! Four reference workloads on the data that the project carries, Adam, batches of 64, all cores but one for libtorch. Further
//! arguments are handed on, `--secs 2 --rounds 3` for a quick look.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::process::Command;

const WORKLOADS: [&str; 4] = ["cnn", "lstm", "transformer", "resnet18-narrow"];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if args.iter().any(|arg| arg == "--test" || arg == "--list") {
        return Ok(());
    }
    for model in WORKLOADS {
        println!("{model}");
        let status = Command::new(env!("CARGO_BIN_EXE_epsiloscope-record"))
            .args(["estimate-cost", "train", "--model", model])
            .args(&args)
            // The data are found from the project's root.
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .status()?;
        if !status.success() {
            return Err(format!("{model}: {status}").into());
        }
    }
    Ok(())
}

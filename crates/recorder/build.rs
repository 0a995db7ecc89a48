//! Lets tests find libtorch where it was found at build time, without `LD_LIBRARY_PATH`, and names its version.

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Said by torch-sys (`links = "tch"`).
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    let version = version(Path::new(&lib)).unwrap_or_else(|| "of unknown version".to_owned());
    println!("cargo::rustc-env=LIBTORCH_VERSION={version}");
    if !lib.is_empty() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        // No symbol of libtorch.so is used, but it brings libtorch_cuda.so in where there is one: without it the tests
        // would find no GPU.
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed,-ltorch,--as-needed");
    }
}

/// From `version.py` beside a Python package's `lib`, or from `build-version` beside a plain libtorch's.
fn version(lib: &Path) -> Option<String> {
    let root = lib.parent()?;
    if let Ok(version) = fs::read_to_string(root.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let python = fs::read_to_string(root.join("version.py")).ok()?;
    let line = python.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(line.trim_matches(['\'', '"']).to_owned())
}

#!/usr/bin/env bash
# Formatting, lints and documentation, as continuous integration checks them.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libtorch.sh)"
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- --deny warnings
RUSTDOCFLAGS=--deny=warnings cargo doc --locked --workspace --no-deps --document-private-items

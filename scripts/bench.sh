#!/usr/bin/env bash
# Runs the benchmarks, baselines included, and prints their tables.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libtorch.sh)"
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive
packages=(histogram moments analysis recorder trainer)
exec cargo bench --locked "${packages[@]/#/-pepsiloscope-}" -p epsiloscope "$@"

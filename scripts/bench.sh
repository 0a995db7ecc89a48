#!/usr/bin/env bash
# Runs the benchmarks, baselines included, and prints their tables.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libtorch.sh)"
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive
packages=(histogram moments analysis recorder trainer)
cargo bench --locked "${packages[@]/#/-pepsiloscope-}" -p epsiloscope "$@"
# Arguments are those of cargo bench: with a filter nothing of Python is meant.
if [[ $# -eq 0 ]]; then
    python=.venv/bin/python
    "$python" -c 'import tensorboard' 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check tensorboard
    eval "$(scripts/python.sh wheel)"
    "$python" benches/python_recording.py
fi

#!/usr/bin/env bash
# The paper's experiment, rerun on the reference workloads: calibrates, estimates, sweeps ε × learning rate over the
# authors' default ranges, and says whether the best ε lies within the estimated bounds. docs/reproduce.md says how.
#
#     scripts/reproduce.sh [--quick] [--estimate] [--only WORKLOAD[/OPTIMIZER]] [--jobs N] [--out DIR]
#
# Killed and called again it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

eval "$(scripts/libtorch.sh)"
python=.venv/bin/python
"$python" -c 'import matplotlib' 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check matplotlib >&2
cargo build --locked --workspace --bins
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive
export EPSILOSCOPE_BIN_DIR=${EPSILOSCOPE_BIN_DIR:-$(realpath "${CARGO_TARGET_DIR:-target}")/debug}
exec "$python" scripts/reproduce "$@"

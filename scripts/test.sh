#!/usr/bin/env bash
# Every test: the Rust ones, the recorder's with libtorch included, then the Python ones, which hold our files and
# numbers against DuckDB, polars, pyarrow, NumPy and PyTorch.
#
# `cargo test` alone runs everything that needs neither libtorch nor Python.
set -euo pipefail
cd "$(dirname "$0")/.."

eval "$(scripts/libtorch.sh)"
python=.venv/bin/python
[[ -x $python ]] || python3 -m venv .venv
# Looked for, not imported: some take seconds.
modules=(accelerate adabelief_pytorch ax boto3 ConfigSpace datafusion duckdb hyperopt IPython keras_tuner lightning matplotlib moto.server nevergrad numpy optuna pandas playwright polars pyarrow pyspark pytest ray safetensors scipy tensorboard tensorboardX torch torch_optimizer transformers)
are_there='import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))'
if ! "$python" -c "$are_there" "${modules[@]}" 2>/dev/null; then
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
fi
scripts/search_tools.sh
# Brings Debian packages, the first that can be had of alternatives, for a program that is not there; a new machine knows no
# packages before it is updated. Without the program its tests say that they were skipped.
bring() {
    local program=$1 packages
    shift
    command -v "$program" >/dev/null && return
    for packages in "$@"; do
        # shellcheck disable=SC2086
        apt-get install --yes --quiet --no-install-recommends $packages && return
    done >/dev/null 2>&1
    return 1
}
bring_all() {
    # What kills recorders at every system call.
    bring strace strace || return
    # What looks at HTML reports.
    bring chromium "chromium fonts-dejavu-core" || return
    # What Spark runs on.
    bring java openjdk-17-jre-headless default-jre-headless
}
bring_all || { apt-get update --quiet >/dev/null 2>&1 && bring_all; } || true
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive
# Keras otherwise looks for TensorFlow.
export KERAS_BACKEND=torch

cargo test --locked --workspace
cargo build --locked --workspace --lib --bins --examples
eval "$(scripts/python.sh)"
EPSILOSCOPE_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}")/debug "$python" -m pytest -q tests/python

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
modules=(accelerate adabelief_pytorch ax boto3 ConfigSpace datafusion duckdb hyperopt keras_tuner lightning matplotlib moto.server nevergrad numpy optuna pandas playwright polars pyarrow pyspark pytest ray safetensors scipy tensorboard tensorboardX torch torch_optimizer transformers)
are_there='import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))'
if ! "$python" -c "$are_there" "${modules[@]}" 2>/dev/null; then
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
fi
# What kills recorders at every system call; without it that test says that it was skipped.
command -v strace >/dev/null || { apt-get install --yes --quiet strace || true; } >/dev/null 2>&1
# What looks at HTML reports; without it those tests say that they were skipped.
command -v chromium >/dev/null || { apt-get install --yes --quiet --no-install-recommends chromium fonts-dejavu-core || true; } >/dev/null 2>&1
# What Spark runs on; without it that test says that it was skipped.
command -v java >/dev/null || { apt-get install --yes --quiet --no-install-recommends openjdk-17-jre-headless \
    || apt-get install --yes --quiet --no-install-recommends default-jre-headless || true; } >/dev/null 2>&1
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive
# Keras otherwise looks for TensorFlow.
export KERAS_BACKEND=torch

cargo test --locked --workspace
cargo build --locked --workspace --lib --bins --examples
eval "$(scripts/python.sh)"
EPSILOSCOPE_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}")/debug "$python" -m pytest -q tests/python

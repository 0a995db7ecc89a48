#!/usr/bin/env bash
# Brings tools for hyperparameter search whose packages do not get along with those of the other tests, each into an
# environment of its own: .venv/tools/TOOL.
#
# Such an environment sees the packages of .venv and holds only what these lack or have in another version: 0.5 GB of
# all tools together, half a minute the first time and no time later. What pip says goes into .venv/tools/TOOL.log; the
# tests of a tool that cannot be had are skipped with the last line of it, and the next call tries again.
set -euo pipefail
cd "$(dirname "$0")/.."

site_of() { "$1" -c 'import os, sysconfig; print(os.path.realpath(sysconfig.get_path("purelib")))'; }

python=.venv/bin/python
packages=$(site_of "$python")
mkdir -p .venv/tools

install() {
    local folder=$1
    shift
    rm -rf "$folder"
    "$python" -m venv --without-pip "$folder" \
        && printf '%s\n' "$packages" >"$(site_of "$folder/bin/python")/beside.pth" \
        && timeout 300 "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" \
        && printf '%s\n' "$*" >"$folder/ready"
}

bring() {
    local tool=$1 folder=.venv/tools/$1
    shift
    [[ $(cat "$folder/ready" 2>/dev/null) == "$*" ]] && return
    install "$folder" "$@" >"$folder.log" 2>&1 || printf 'search_tools.sh: no %s: see %s\n' "$tool" "$folder.log" >&2
}

bring hydra 'hydra-core==1.3.*' hydra-optuna-sweeper &
bring wandb sweeps &
bring smac smac &
bring nni nni &
bring katib kubeflow-katib &
wait

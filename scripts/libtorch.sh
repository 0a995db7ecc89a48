#!/usr/bin/env bash
# Brings libtorch 2.13.0, the release that the tch crate is built against, into the project's .venv and says where it
# is.
#
#     eval "$(scripts/libtorch.sh)"
#
# Standard output is one line, `export LIBTORCH=...`; everything else goes to standard error. A LIBTORCH that is set
# already and holds lib/libtorch.so is kept. The first run downloads about 2 GB, later ones take no time.
set -euo pipefail

version=2.13.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

say() { printf 'libtorch.sh: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
answer() { printf 'export LIBTORCH=%q\n' "$1"; exit 0; }

# The installed package's directory, if it is the wanted version and numpy is beside it.
installed() {
    local torch
    for torch in "$venv"/lib/python3*/site-packages/torch; do
        if grep -qs "^__version__ = '$version[+']" "$torch/version.py" \
            && [[ -e $torch/lib/libtorch.so && -d ${torch%/torch}/numpy ]]; then
            printf '%s\n' "$torch"
            return
        fi
    done
    return 1
}

make_venv() {
    local python
    python=$(command -v python3) \
        || fail "python3 not found: expected Python 3.10 or newer (Debian, Ubuntu: apt-get install python3-venv)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null \
        || fail "$python has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)"
    say "creating $venv"
    "$python" -m venv "$venv" >&2
}

if [[ -n ${LIBTORCH:-} && -e $LIBTORCH/lib/libtorch.so ]]; then
    answer "$LIBTORCH"
fi
if torch=$(installed); then
    answer "$torch"
fi
[[ -x $venv/bin/python ]] || make_venv
say "installing torch $version and numpy into $venv (about 2 GB to download, 5 GB on disk)"
"$venv/bin/python" -m pip install --disable-pip-version-check "torch==$version" numpy >&2
torch=$(installed) || fail "torch $version was installed but not found under $venv/lib/python3*/site-packages"
answer "$torch"

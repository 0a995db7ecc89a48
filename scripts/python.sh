#!/usr/bin/env bash
# Builds the Python package in place and says where it is.
#
#     eval "$(scripts/python.sh [wheel])"
#
# Standard output is one line, `export PYTHONPATH=...`; everything else goes to standard error. The extension comes from the
# workspace's own development build, so that compiled dependencies are shared with it. With `wheel` it is what `pip install`
# builds, which resolves features for the one crate alone and compiles them anew.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=dev folder=debug
[[ ${1:-} == wheel ]] && profile=wheel folder=wheel
scope=(--workspace --lib)
[[ $profile == wheel ]] && scope=(--package epsiloscope-python)
cargo build --locked --profile "$profile" "${scope[@]}" >&2

target=$(realpath "${CARGO_TARGET_DIR:-target}")/$folder
package=$target/python
rm -rf "$package"
mkdir -p "$package"
cp -r crates/python/python/epsiloscope "$package/"
case $(uname) in
    Darwin) built=libepsiloscope_native.dylib ;;
    *) built=libepsiloscope_native.so ;;
esac
cp "$target/$built" "$package/epsiloscope/_native.abi3.so"
printf 'export PYTHONPATH=%q\n' "$package"

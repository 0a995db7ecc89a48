#!/usr/bin/env bash
# Builds the Python package in place and says where it is.
#
#     eval "$(scripts/python.sh [release])"
#
# Standard output is one line, `export PYTHONPATH=...`; everything else goes to standard error. The extension comes from the
# workspace's own build, so that compiled dependencies are shared with it: a wheel, which resolves features for the one
# crate alone, would compile them anew. Without `release` it is the development build.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=dev folder=debug
[[ ${1:-} == release ]] && profile=release folder=release
scope=(--workspace --lib)
# A release build of everything takes half an hour; of what the package needs, minutes.
[[ $profile == release ]] && scope=(--package epsiloscope-python)
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

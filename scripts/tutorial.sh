#!/usr/bin/env bash
# Runs the commands of docs/tutorial.md, block after block, as they stand there.
#
#     scripts/tutorial.sh DIR
#
# DIR is where runs and metrics are written; it is made. Both programs must be on the path. What the tutorial sets with `:=` may be set
# beforehand, such as `epochs=1 seeds=0`.
set -euo pipefail
dir=${1:?"expected a directory"}
root=$(realpath "$(dirname "$0")/..")
mkdir -p "$dir"
ln -sfn "$root/data" "$dir/data"
cd "$dir"
# Setting up is the reader's: the first block that is run comes after it.
awk '/^```python$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/docs/tutorial.md" > compare.py
commands=$(awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/docs/tutorial.md")
exec bash -euo pipefail -c "$commands"

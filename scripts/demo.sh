#!/usr/bin/env bash
# The main job, end to end: trains a small network on Fashion-MNIST, records its gradient magnitudes, and says where ε
# is worth searching.
#
#     scripts/demo.sh [--data DIR]
#
# DIR holds IDX files (train-images-idx3-ubyte[.gz] and so on). Without it the Debian package dataset-fashion-mnist is
# taken if it is installed, or else the piece of Fashion-MNIST in data/.
set -euo pipefail

say() { printf '\n== %s\n' "$*" >&2; }

root=$(realpath "$(dirname "$0")/..")
data=$root/data/fashion-mnist-subset
[[ -d /usr/share/datasets/fashion-mnist ]] && data=/usr/share/datasets/fashion-mnist
while [[ $# -gt 0 ]]; do
    case $1 in
        --data) data=$(realpath "${2:?"--data needs a directory"}"); shift 2 ;;
        *) echo "demo.sh: unknown argument $1: expected --data DIR" >&2; exit 2 ;;
    esac
done
cd "$root"

say "libtorch"
eval "$(scripts/libtorch.sh)"

say "building (some minutes the first time)"
cargo build --locked --workspace --bins
bin=${CARGO_TARGET_DIR:-target}/debug
# Threads that wait by spinning slow each other down on a busy machine.
export OMP_WAIT_POLICY=passive

say "calibration: one epoch over $data with the weights frozen"
"$bin/epsiloscope-record" calibrate --data "$data" --device auto --out runs/calibration --overwrite

say "training: one epoch with Adam"
"$bin/epsiloscope-record" train --data "$data" --device auto --optimizer adam --out runs/training --overwrite

say "histogram tables"
"$bin/epsiloscope" histogram runs/calibration runs/training --out tables

say "where ε is worth searching"
"$bin/epsiloscope" estimate runs/calibration runs/training

cat >&2 <<END

The runs are in runs/calibration and runs/training, the histogram tables in tables/histograms.
Try:
  $bin/epsiloscope estimate runs/training --per tensor --optimizer adam
and, with DuckDB or any other reader of Parquet (python3 -m pip install duckdb):
  SELECT tensor, sum(count) AS gradients, sum(count) FILTER (upper <= 1e-8) / sum(count) AS share_below_1e_8
  FROM 'tables/histograms/*/*.parquet' WHERE quantity = 'gradient' GROUP BY tensor ORDER BY tensor;
END

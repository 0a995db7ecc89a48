"""Reruns the paper's experiment on the reference workloads; see docs/reproduce.md and `scripts/reproduce.sh --help`."""

import argparse
import sys
from pathlib import Path

import plan
import run
import study
import tables


def arguments(argv):
    parser = argparse.ArgumentParser(prog="reproduce.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer workloads, points and seeds: at most 20 min on two idle cores")
    parser.add_argument("--estimate", action="store_true", help="say how long it will take, and stop")
    parser.add_argument("--only", action="append", default=[], metavar="WORKLOAD[/OPTIMIZER]", help="this; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each [default: 2]")
    parser.add_argument("--out", type=Path, default=Path("reproduction"), help="where everything is kept [default: reproduction]")
    parser.add_argument("--steps", type=int, help="steps per training and calibration instead of the plan's: to try things out")
    return parser.parse_args(argv)


def main(argv):
    asked = arguments(argv)
    chosen = plan.chosen(plan.QUICK if asked.quick else plan.FULL, asked.only, asked.steps)
    out = asked.out / ("quick" if asked.quick else "full")
    print(run.told_estimate(run.estimate(chosen, out, asked.jobs)), flush=True)
    if asked.estimate:
        return
    print(tables.told(study.study(chosen, out, asked.jobs)))


if __name__ == "__main__":
    main(sys.argv[1:])

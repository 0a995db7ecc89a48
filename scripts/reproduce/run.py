"""Runs the two programs. Everything is kept under one folder, and what is there is not done again."""

import hashlib
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import plan

ROOT = Path(__file__).resolve().parents[2]
NEAREST = Path(__file__).with_name("nearest.awk")
# A training that is only to be judged: nothing but its losses is written.
UNRECORDED = ("--magnitudes", "none", "--histograms", "off", "--critical-epsilon", "none", "--every", "1000000000")
# Points that a replayed search may try.
REPLAYED_POINTS = 60
# What looking one of them up takes, processes included; for estimates of time alone.
LOOKUP_SECONDS = 0.02


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def program(name):
    folder = Path(os.environ.get("EPSILOSCOPE_BIN_DIR", ROOT / "target/debug"))
    return str(folder / name)


def call(name, *arguments, accepted=(0,)):
    """Runs a program to its end and returns what it printed; its messages go through."""
    # libtorch's idle threads must not spin beside others' work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode not in accepted:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}")
    return done.stdout


def key(*parts):
    """Tells apart what was made of other settings."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def calibrate(workload, out, seed):
    """A calibration with bins of every element's critical ε at twenty snapshots; one serves all optimizers."""
    settings = (
        *workload.options, "--threads", 1, "--steps", workload.calibration_steps, "--epochs", 1000, "--magnitudes", "none",
        "--snapshot-elements", "off", "--snapshot-every", workload.snapshot_every(), "--seed", seed,
    )
    folder = out.absolute() / "calibrations" / f"{workload.name}-{key(settings)}"
    if not is_finished(folder):
        call("epsiloscope-record", "calibrate", *settings, "--out", folder, "--overwrite")
    return folder


def is_finished(folder):
    try:
        return json.loads((folder / "run.json").read_text())["status"] == "finished"
    except (FileNotFoundError, ValueError):
        return False


def estimates(calibration, seed):
    """Search spaces after every snapshot of the first calibration, and at the end of those that tell the spread."""
    rows = call(
        "epsiloscope", "estimate", calibration, "--optimizer", ",".join(plan.OPTIMIZERS),
        "--combination", ",".join(plan.COMBINATIONS), "--at", "last" if seed else "all", "--format", "json",
    )
    return json.loads(rows)


def training(workload, optimizer, epsilon, rate, seed, folder):
    """The shell command of one training, which prints its last test metric; the arguments may be placeholders."""
    record = [
        program("epsiloscope-record"), "train", *workload.options, *workload.trained, "--threads", "1",
        "--steps", str(workload.steps),
        "--epochs", "1000", "--optimizer", optimizer, *UNRECORDED, "--overwrite",
    ]
    told = f"awk -F, '$3 == \"{workload.metric}\" {{{{ value = $4 }}}} END {{{{ print \"metric=\" value }}}}' {folder}/metrics.csv"
    varied = f"--epsilon {epsilon} --lr {rate} --seed {seed} --metrics {folder}/metrics.csv --out {folder}/run"
    # What a diverged network leaves is a metric, or none; both are told apart by the search.
    return f"{shlex.join(record)} {varied} >&2 && rm -r {folder}/run && {told}"


def sweep(experiment, optimizer, out, jobs):
    """Every trial of every combination, by `epsiloscope search`, which takes up what was interrupted."""
    workload = experiment.workload
    epsilons = ",".join(f"1e{exponent}" for exponent in experiment.exponents(optimizer))
    settings = (
        "--strategy", "grid", "--param", f"epsilon:{epsilons}", "--param", f"lr:{','.join(workload.rates)}",
        "--run", training(workload, optimizer, "{epsilon}", "{lr}", "{seed}", "{dir}"), "--metric", "metric",
        f"--{workload.goal}", "--seeds", workload.seeds,
    )
    folder = out.absolute() / "sweeps" / f"{workload.name}-{optimizer}-{key(settings)}"
    options = ("--jobs", jobs, "--out", folder, "--view", "trials", "--format", "json")
    printed = call("epsiloscope", "search", *settings, *options, accepted=(0, 4))
    return [{**row, "epsilon": float(row["epsilon"]), "lr": float(row["lr"])} for row in json.loads(printed)]


def cross_entropy_counts(experiment, optimizer, points, bounds, out):
    """How many points the cross-entropy search tries until it meets a good one, in the wide range and within the bounds.

    The search is the real one, but a training is looked up in the sweep's table, at the nearest ε. The median over seeds;
    none where half of the searches end without.
    """
    line = "{epsilon} {lr} {value} {good:d}\n"
    text = "".join(line.format(**{**point, "value": "nan" if point["value"] is None else point["value"]}) for point in points)
    table = out.absolute() / "replays" / f"{experiment.workload.name}-{optimizer}-{key(text, str(NEAREST))}.txt"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(text)
    exponents = experiment.exponents(optimizer)
    wide = (10.0 ** exponents[0], 10.0 ** exponents[-1])
    counts = []
    for low, high in (wide, (bounds["search_lower"], bounds["search_upper"])):
        found = [replay(experiment, table, low, high, seed) for seed in range(experiment.replays)] if low < high else [None]
        counts.append(median_count(found))
    return counts


def median_count(counts):
    """The middle one; searches without a good point count as endless, and the median of those is none."""
    middle = statistics.median_high(float("inf") if count is None else count for count in counts)
    return None if middle == float("inf") else middle


def replay(experiment, table, low, high, seed):
    """Points until the first good one, in one search on the table."""
    folder = table.with_suffix("") / f"{low:g}-{high:g}-{seed}"
    lookup = f"awk -v e={{epsilon}} -v l={{lr}} -f {shlex.quote(str(NEAREST))} {shlex.quote(str(table))}"
    printed = call(
        "epsiloscope", "search", "--space", f"epsilon:{low!r}..{high!r}:log",
        "--param", f"lr:{','.join(experiment.workload.rates)}", "--run", lookup, "--metric", "metric",
        f"--{experiment.workload.goal}", "--trials", REPLAYED_POINTS, "--seed", seed, "--out", folder, "--view", "trials",
        "--format", "json", accepted=(0, 2),
    )
    # What ended with 2 because it could not be made prints no trials either.
    if not printed:
        raise SystemExit(f"{folder}: the search ended without trials")
    for row in json.loads(printed):
        stdout = folder / "trials" / f"{row['point']:05}-seed{seed}" / "stdout"
        if "good=1" in stdout.read_text():
            return row["point"] + 1
    return None


def estimate(experiments, out, jobs):
    """Seconds that each experiment takes on idle cores, from the processor time of two short trainings, taken once."""
    path = out / "seconds.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for experiment in experiments:
        workload = experiment.workload
        name = f"{workload.name}-{key(workload.options)}"
        if name not in known:
            say(f"{workload.name}: timing two short trainings")
            short, long = (timed(workload, steps, out) for steps in (1, 5))
            step = max(0.0, (long - short) / 4)
            known[name] = {"step": step, "rest": max(0.0, short - step)}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known, indent=1) + "\n")
    return {of.workload.name: seconds(of, known[f"{of.workload.name}-{key(of.workload.options)}"], jobs) for of in experiments}


def seconds(experiment, known, jobs):
    """Trainings share the cores, a calibration has one, and so have replayed searches."""
    workload = experiment.workload
    trainings = experiment.n_trainings() * (known["rest"] + known["step"] * workload.steps) / jobs
    replays = len(experiment.optimizers) * 2 * experiment.replays * REPLAYED_POINTS * LOOKUP_SECONDS
    # What is binned at snapshots costs little beside the steps.
    calibrations = plan.CALIBRATIONS * (known["rest"] + known["step"] * workload.calibration_steps)
    return trainings + calibrations + replays


def timed(workload, steps, out):
    """Processor time of a training, which other work on the machine hardly changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out.mkdir(parents=True, exist_ok=True)
    call(
        "epsiloscope-record", "train", *workload.options, "--threads", 1, "--steps", steps, *UNRECORDED,
        "--out", out.absolute() / "timing", "--overwrite",
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def told_estimate(seconds_by_name):
    lines = [f"{name:<12} {seconds / 60:7.1f} min" for name, seconds in seconds_by_name.items()]
    total = sum(seconds_by_name.values())
    return "\n".join(["about, if the cores are idle:", *lines, f"{'in all':<12} {total / 60:7.1f} min"])

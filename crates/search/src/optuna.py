#!/usr/bin/env python3
"""Searches hyperparameters with Optuna by running a command; needs nothing but Optuna.

Run it again to go on: the study is kept. `--help` lists what can be changed.
"""

import argparse
import math
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import optuna

# settings


def filled(values):
    """The command with its placeholders filled; {{ and }} are braces."""
    pieces = re.split(r"(\{\{|\}\}|\{[^{}]*\})", TEMPLATE)
    brace = {"{{": "{", "}}": "}"}
    return "".join(brace.get(piece) or (values[piece[1:-1]] if piece[:1] == "{" else piece) for piece in pieces)


def last_metric(path):
    """The last match in a file, line by line, as text; NaN and infinity count where the pattern leaves them out."""
    patterns = [re.compile(pattern) for pattern in (NOT_FINITE, METRIC) if pattern]
    last = None
    with open(path, encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            found = [match for pattern in patterns for match in pattern.finditer(line)]
            if found:
                group = 1 if found[0].re.groups else 0
                last = max(found, key=lambda match: match.start(match.re.groups and 1)).group(group)
    return last


def run(values, timeout):
    """One run of the command; NaN if it gives no value."""
    folder = Path(values["dir"])
    folder.mkdir(parents=True, exist_ok=True)
    quoted = {**values, "dir": shlex.quote(values["dir"])}
    variables = {"EPSILOSCOPE_" + name.upper().replace(".", "_"): value for name, value in values.items()}
    with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
        process = subprocess.Popen(
            ["sh", "-c", filled(quoted)],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            env={**os.environ, **variables}, start_new_session=True,
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    text = last_metric(folder / "stdout") if status == 0 else None
    try:
        return float(text.strip().rstrip(".,;"))
    except (AttributeError, ValueError):
        return math.nan


def suggest(trial, name, of):
    """A value of a parameter."""
    if isinstance(of, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(name, of.choices)
    return trial.suggest_float(name, of.low, of.high, log=of.log)


def objective(trial, timeout):
    """The mean over the seeds. Optuna takes a trial without a finite value for failed."""
    suggested = {name: suggest(trial, name, of) for name, of in PARAMETERS.items()}
    texts = {name: value if isinstance(value, str) else repr(value) for name, value in suggested.items()}
    found = []
    for seed in range(SEED, SEED + SEEDS):
        folder = OUT / "optuna-trials" / f"{trial.number:05}-seed{seed}"
        found.append(run({**texts, "seed": str(seed), "trial": str(trial.number), "dir": str(folder.absolute())}, timeout))
    trial.set_user_attr("values", found)
    mean = sum(found) / len(found)
    return mean if math.isfinite(mean) else math.nan


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=TRIALS, help="points in all, earlier ones included")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time; with several the order depends on time")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that one run may take")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="search", direction=DIRECTION, load_if_exists=True,
        storage=f"sqlite:///{OUT.absolute()}/optuna.db", sampler=optuna.samplers.TPESampler(seed=SEED),
    )
    over = [trial for trial in study.trials if trial.state.is_finished()]
    left = max(0, arguments.trials - len(over))
    study.optimize(lambda trial: objective(trial, arguments.timeout), n_trials=left, n_jobs=arguments.jobs)
    if not study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        raise SystemExit("no trial has a value")
    print(f"best value {study.best_value!r} at {study.best_params}")


if __name__ == "__main__":
    main()

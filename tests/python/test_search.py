"""`epsiloscope search` against others: candidates against scipy's truncated normal, the hand-over by running Optuna."""

import json
import math
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from runs import analyse, call, program

SPACE = "epsilon:1e-8..1e-1"
QUADRATIC = "awk 'BEGIN {{ x = log({epsilon})/log(10) + 5; print \"val_loss=\" x*x + {seed}/100 }}'"
METRIC = "val_loss=([0-9.e+-]+)"


def search(out, command, *options):
    return analyse("search", "--space", SPACE, "--run", command, "--metric", METRIC, "--out", out, *options)


def test_candidates_are_drawn_from_the_truncated_normal(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    # Every second generation begins where the first one's elite says; both are held against their own distribution.
    size, elite, smoothing = 150, 0.1, 0.7
    options = ("--population", size, "--elite", elite, "--smoothing", smoothing, "--trials", 2 * size, "--seed", 11)
    command = "echo val_loss=$(printf '%s' {epsilon} | tr -d .)"
    rows = search(tmp_path / "search", command, *options, "--view", "trials", "--jobs", 2)
    low, high = -8.0, -1.0
    exponents = np.log10([row["epsilon"] for row in rows])
    values = np.array([row["value"] for row in rows])
    assert len(rows) == 2 * size and exponents.min() >= low and exponents.max() <= high
    mean, deviation = (low + high) / 2, (high - low) / 2
    for generation in range(2):
        drawn = exponents[generation * size : (generation + 1) * size]
        expected = stats.truncnorm((low - mean) / deviation, (high - mean) / deviation, loc=mean, scale=deviation)
        assert stats.kstest(drawn, expected.cdf).pvalue > 0.01
        ranking = np.argsort(values[generation * size : (generation + 1) * size], kind="stable")
        best = drawn[ranking[: math.ceil(elite * size)]]
        mean = smoothing * best.mean() + (1 - smoothing) * mean
        deviation = smoothing * best.std() + (1 - smoothing) * deviation


def test_noise_is_that_of_a_paired_t_test(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    noisy = "srand(s * 1000 - log(e) * 7); x = log(e)/log(10) + 5; print \"val_loss=\" 0.05*x*x + 0.1*rand()"
    command = f"awk -v s={{seed}} -v e={{epsilon}} 'BEGIN {{{{ {noisy} }}}}'"
    out = tmp_path / "search"
    options = ("--strategy", "grid", "--points", 15, "--seeds", 5)
    points = search(out, command, *options)
    trials = pq.read_table(out / "trials.parquet").to_pylist()
    of = lambda point: np.array([trial["value"] for trial in trials if trial["point"] == point])
    best = of(points[0]["point"])
    for row in points[1:]:
        other = of(row["point"])
        assert row["value"] == pytest.approx(other.mean()) and row["spread"] == pytest.approx(other.std(ddof=1))
        is_worse = stats.ttest_rel(other, best, alternative="greater").pvalue < 0.05
        assert row["within_noise"] == (not is_worse)
    assert 1 < sum(row["within_noise"] for row in points) < len(points)


def test_readers_read_the_table_of_trials(tmp_path):
    import duckdb
    import polars

    out = tmp_path / "search"
    options = ("--strategy", "random", "--trials", 6, "--seeds", 2, "--param", "kind:a,b")
    rows = search(out, QUADRATIC, *options, "--view", "trials")
    path = str(out / "trials.parquet")
    in_duckdb = duckdb.read_parquet(path).to_arrow_table().to_pylist()
    assert pq.read_table(path).to_pylist() == polars.read_parquet(path).to_dicts() == in_duckdb == rows


def run_script(out, *options):
    done = subprocess.run([sys.executable, str(out / "search_optuna.py"), *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_optuna_runs_what_was_handed_over(tmp_path):
    optuna = pytest.importorskip("optuna")
    out = tmp_path / "it's \"here\""
    # A few points diverge, so that Optuna sees failures, too; the braces are for awk and the shell.
    command = "test {kind} = b && ${{FALSE:-false}}; " + QUADRATIC + "; case {epsilon} in *e-08|*e-07) echo val_loss=nan;; esac"
    options = ["--space", SPACE, "--run", command, "--metric", METRIC, "--out", out, "--param", "kind:a,b"]
    printed = call("epsiloscope", "search", "--strategy", "optuna", "--trials", 12, "--seeds", 2, "--seed", 3, *options)
    assert printed.decode().strip() == str(out / "search_optuna.py")
    told = run_script(out, "--trials", "20")
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{out}/optuna.db")
    assert len(study.trials) == 20 and "best value" in told
    for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        exponent = math.log10(trial.params["epsilon"])
        # awk prints six digits.
        assert trial.value == pytest.approx((exponent + 5) ** 2 + 0.035, rel=1e-4, abs=1e-5)
    diverged = study.get_trials(states=[optuna.trial.TrialState.FAIL])
    assert all(trial.params["epsilon"] < 1e-6 for trial in diverged) and diverged
    distribution = study.trials[0].distributions["epsilon"]
    assert (distribution.low, distribution.high, distribution.log) == (1e-8, 1e-1, True)
    # Again goes on: nothing is left of 20.
    run_script(out, "--trials", "20")
    assert len(optuna.load_study(study_name="search", storage=f"sqlite:///{out}/optuna.db").trials) == 20
    assert (out / "optuna-trials/00000-seed3/stdout").read_text().startswith("val_loss=")


def test_a_trial_of_the_script_ends_in_time(tmp_path):
    pytest.importorskip("optuna")
    out = tmp_path / "slow"
    options = ["--space", SPACE, "--run", "echo val_loss=1; sleep 30", "--metric", "val_loss", "--out", out, "--timeout", 0.3]
    call("epsiloscope", "search", "--strategy", "optuna", "--trials", 1, *options)
    done = subprocess.run([sys.executable, str(out / "search_optuna.py")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "no trial has a value" in done.stderr

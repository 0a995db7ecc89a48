"""scripts/reproduce: its plans, its judgement on small tables worked out by hand, and one slice of it from end to end."""

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from runs import ROOT, program

sys.path.insert(0, str(ROOT / "scripts/reproduce"))
pytest.importorskip("matplotlib")
import judge  # noqa: E402
import picture  # noqa: E402
import plan  # noqa: E402
import publish  # noqa: E402
import run  # noqa: E402
import study  # noqa: E402
import tables  # noqa: E402
import verdict  # noqa: E402

EXPERIMENT = plan.Experiment(plan.images("cnn", steps=3, calibration_steps=40, rates=("1e-3", "1e-2"), seeds=2), ("adam",))


def point(epsilon, lr, value, best=False, good=False):
    return {"epsilon": epsilon, "lr": lr, "value": value, "spread": 0.01, "best": best, "good": best or good}


def estimate(step, lower, upper, optimizer="adam", combination="extremes"):
    ends = {"search_lower": float(f"{lower:.0e}"), "search_upper": float(f"{upper:.0e}")}
    tensors = {"lower_tensor": "conv.bias", "upper_tensor": "conv.weight"}
    of = {"optimizer": optimizer, "combination": combination, "scope": "run", "step": step}
    return {**of, "lower": lower, "upper": upper, **ends, **tensors}


def test_grids_are_the_authors_and_thinned_ones_keep_their_ends():
    language = plan.Experiment(plan.LSTM1, plan.OPTIMIZERS)
    assert EXPERIMENT.exponents("adam") == list(range(-8, 0)) and EXPERIMENT.exponents("adabelief") == list(range(-16, -3, 2))
    assert language.exponents("rmsprop") == list(range(-9, -2)) and language.exponents("adamomentum") == list(range(-20, -7, 2))
    assert plan.Experiment(plan.CNN, (), thinned=3).exponents("adam") == [-8, -5, -2, -1]
    for experiment in (*plan.FULL, *plan.QUICK):
        every, last = experiment.workload.snapshot_every(), experiment.workload.calibration_steps
        steps = list(experiment.workload.fractions().values())
        assert steps == sorted(set(steps)) and steps[-1] == last
        assert all(step % every == 0 for step in steps[:-1])


def test_chosen_are_those_asked_for():
    found = plan.chosen(plan.FULL, ["cnn/adam", "lstm-2", "cnn/rmsprop"], 7)
    assert [(of.workload.name, of.optimizers) for of in found] == [("cnn", ("adam", "rmsprop")), ("lstm-2", plan.OPTIMIZERS)]
    assert {of.workload.steps for of in found} == {7}
    for wrong in ("cnn/lion", "gpt", "gpt/adam"):
        with pytest.raises(SystemExit):
            plan.chosen(plan.FULL, [wrong], None)


def test_rows_by_hand():
    points = [
        point(1e-8, 1e-3, 0.5), point(1e-5, 1e-3, 0.7), point(1e-3, 1e-3, 0.8, good=True), point(1e-2, 1e-2, 0.82, best=True),
        point(1e-1, 1e-2, None),
    ]
    swept = verdict.swept(EXPERIMENT, "adam", points, 7)
    # Two good ones of five.
    assert (swept["wide_decades"], swept["best_epsilon"], swept["good_points"], swept["random_wide"]) == (7, 1e-2, 2, 2)
    of_seeds = [estimate(40, 1.2e-5, 1.3e-3), estimate(40, 1.2e-6, 1.3e-3), estimate(40, 1.2e-5, 1.2e-5)]
    row = verdict.bounded(EXPERIMENT, "adam", of_seeds, points, None)
    assert (row["decades"], row["narrowing"], row["narrowing_high"]) == (pytest.approx(2), pytest.approx(3.5), row["narrowing"])
    assert row["narrowing_low"] == pytest.approx(7 / 3)
    assert (row["best_inside"], row["good_inside"], row["lower_tensor"]) == (False, True, "conv.bias")
    assert row["lost"] == pytest.approx(0.02)
    # Two ε in a row of five: at 1e-5, 1e-3 and beyond one is good in all but the first pair.
    assert row["chance_inside"] == pytest.approx(3 / 4) and (row["points_inside"], row["random_bounds"]) == (2, 1.5)
    outside = verdict.bounded(EXPERIMENT, "adam", [estimate(40, 1e-7, 1.2e-7)], points, None)
    unknown = ("good_inside", "chance_inside", "lost", "random_bounds", "narrowing", "narrowing_low")
    assert [outside[column] for column in unknown] == [None] * 6 and outside["points_inside"] == 0


def test_a_summary_by_hand():
    def row(narrowing, good, chance, combination="extremes"):
        told = {"workload": "cnn", "optimizer": f"o{narrowing}", "combination": combination, "best_inside": good}
        return {**told, "narrowing": narrowing, "narrowing_low": 1.0, "narrowing_high": 9.0, "good_inside": good, "chance_inside": chance}

    extremes, pooled = verdict.summary([row(2.0, True, 0.5), row(1.5, False, 0.25), row(None, None, None), row(7.0, True, 1.0, "pooled")])
    assert (extremes["cases"], extremes["worst_narrowing"], extremes["worst_case"]) == (3, 1.5, "cnn, o1.5")
    assert (extremes["worst_low"], extremes["worst_high"], extremes["median_narrowing"]) == (1.0, 9.0, 1.75)
    assert (extremes["at_least_twice"], extremes["judged"], extremes["good_inside"], extremes["by_chance"]) == (1, 2, 1, 0.75)
    assert (pooled["cases"], pooled["good_inside"], pooled["best_narrowing"]) == (1, 1, 7.0)


def trials(values):
    """Of points by their values per seed."""
    rows = [(point, seed, value) for point, of_point in enumerate(values) for seed, value in enumerate(of_point)]
    return [{"point": point, "seed": seed, "epsilon": 10.0**-point, "lr": 1e-3, "value": value} for point, seed, value in rows]


def test_noise_is_what_neither_point_nor_seed_explains():
    stats = pytest.importorskip("scipy.stats")
    import numpy as np

    for degrees, tolerance in [(3, 1e-2), (5, 2e-3), (10, 2e-4), (100, 1e-6)]:
        assert judge.t_95(degrees) == pytest.approx(stats.t.ppf(0.95, degrees), rel=tolerance)
    # A seed's luck is common to all points, and tells nothing of a difference between them.
    assert judge.residual_noise([[1.0, 2.0], [1.5, 2.5], [3.0, 4.0]]) == pytest.approx(0, abs=1e-12)
    # Of two points it is the paired t-test.
    values = np.random.default_rng(1).normal(size=(2, 12))
    difference = values[1] - values[0]
    expected = stats.t.ppf(0.95, 11) * difference.std(ddof=1) / 12**0.5
    assert judge.residual_noise(values.tolist()) == pytest.approx(expected, rel=1e-3)
    assert judge.residual_noise([[1.0]]) is None and judge.residual_noise([[1.0], [2.0]]) is None


def test_the_noise_of_points_that_lose_does_not_excuse_others():
    found = judge.points(trials([[0.9, 0.92], [0.91, 0.9], [0.7, 0.71], [0.1, 0.6], [0.2, None], [0.6, 0.1]]), "maximize")
    assert [point["good"] for point in found] == [True, True, False, False, False, False]
    assert [point["best"] for point in found] == [True, False, False, False, False, False]
    assert found[0]["value"] == pytest.approx(0.91) and found[0]["spread"] == pytest.approx(0.02 / 2**0.5)
    assert found[4]["value"] is None and [found[1]["epsilon"], found[1]["lr"]] == [0.1, 1e-3]
    # With one seed there is the best alone, with none nothing.
    assert [point["good"] for point in judge.points(trials([[2.0], [1.0], [1.0 + 1e-9]]), "minimize")] == [False, True, False]
    assert [point["best"] for point in judge.points(trials([[None], [None]]), "minimize")] == [False, False]


def test_searches_without_end_have_no_median():
    assert run.median_count([3, None, 5]) == 5 and run.median_count([3, None, None]) is None


def test_draws_expected_are_those_of_every_order():
    for n, n_good in [(1, 1), (4, 1), (5, 2), (6, 3)]:
        points = [point(1e-5, 1e-3, 1.0, good=index < n_good) for index in range(n)]
        orders = list(itertools.permutations(range(n)))
        mean = sum(1 + min(order.index(good) for good in range(n_good)) for order in orders) / len(orders)
        assert judge.random_count(points) == pytest.approx(mean)
    assert judge.random_count([point(1e-5, 1e-3, 1.0)]) is None


def test_shortened_calibrations_are_measured_from_the_whole():
    rows = [estimate(2, 1e-6, 1e-3), estimate(20, 1e-5, 1e-2), estimate(40, 1e-5, 1e-1), estimate(40, 1e-9, 1e-8, "adabelief")]
    found = verdict.shortened("cnn", rows, {0.05: 2, 0.5: 20, 1.0: 40})
    expected = [("adam", 0.05), ("adam", 0.5), ("adam", 1.0), ("adabelief", 1.0)]
    assert [(row["optimizer"], row["share"]) for row in found] == expected
    moved = [(row["lower_shift"], row["upper_shift"]) for row in found[:3]]
    assert moved == [pytest.approx((-1, -2)), pytest.approx((0, -1)), (0, 0)]
    assert [row["same_space"] for row in found[:3]] == [False, False, True]
    shortest, half, whole = verdict.moved(found)
    assert (shortest["cases"], shortest["over_half_a_decade"], shortest["greatest_shift"]) == (1, 1, pytest.approx(2))
    assert (half["over_half_a_decade"], whole["cases"], whole["over_half_a_decade"], whole["median_shift"]) == (1, 2, 0, 0)


def test_cells_lie_where_their_values_belong():
    points = [point(1e-8, 1e-3, 0.5), point(1e-1, 1e-2, 0.7), point(1e-3, 1e-3, None)]
    exponents, rates, grid = picture.cells(EXPERIMENT, "adam", points)
    assert (exponents[0], exponents[-1], rates) == (-8, -1, [1e-3, 1e-2])
    assert (grid[0][0], grid[1][-1]) == (0.5, 0.7) and grid[0][5] != grid[0][5]


def test_time_is_told_by_what_a_step_takes():
    known = {"step": 0.5, "rest": 1.0}
    # 16 points with two seeds, of three steps each, on two cores; three calibrations of 40; two times 20 searches of 60 points.
    assert run.seconds(EXPERIMENT, known, 2) == pytest.approx(16 * 2 * 2.5 / 2 + 3 * 21 + 40 * 60 * run.LOOKUP_SECONDS)
    assert "in all" in run.told_estimate({"cnn": 61.0}) and "1.0 min" in run.told_estimate({"cnn": 61.0})


def test_a_lookup_takes_the_nearest_epsilon_of_the_same_rate(tmp_path):
    table = tmp_path / "table.txt"
    table.write_text("1e-08 0.001 0.5 0\n1e-06 0.001 nan 0\n1e-06 0.01 0.9 1\n")
    for epsilon, rate, good, metric in [("2e-8", "1e-3", 0, "0.5"), ("2e-7", "1e-3", 0, "nan"), ("1e-9", "1e-2", 1, "0.9")]:
        command = ["awk", "-v", f"e={epsilon}", "-v", f"l={rate}", "-f", run.NEAREST, table]
        assert subprocess.run(command, capture_output=True, text=True).stdout == f"good={good}\nmetric={metric}\n"


def test_a_slice_from_end_to_end_and_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EPSILOSCOPE_BIN_DIR", str(program("epsiloscope").parent))
    workload = replace(EXPERIMENT.workload, steps=2, calibration_steps=4)
    experiment = plan.Experiment(workload, ("adam",), thinned=4, replays=2)
    first = study.study([experiment], tmp_path, 2)
    (log,) = tmp_path.glob("sweeps/cnn-adam-*/trials.jsonl")
    trials = log.read_text()
    # Three exponents and two rates, twice each.
    assert len(trials.splitlines()) == 1 + 12
    read = lambda name: list(csv.DictReader((tmp_path / f"{name}.csv").open()))
    (row,) = read("sweeps")
    assert (row["workload"], row["optimizer"], row["points"]) == ("cnn", "adam", "6") and 0 < float(row["best_value"]) <= 1
    bounds = read("bounds")
    assert [row["combination"] for row in bounds] == list(plan.COMBINATIONS)
    for row in bounds:
        assert float(row["search_lower"]) < float(row["search_upper"]) and row["lower_tensor"].startswith(("conv", "linear", "fc"))
        assert float(row["narrowing_low"]) <= float(row["narrowing"]) <= float(row["narrowing_high"])
    values = [[float(value) for value in row["values"].split()] for row in read("points")]
    assert sorted(itertools.chain(*values)) == sorted(json.loads(line)["entry"]["trial"]["outcome"]["value"] for line in trials.splitlines()[1:])
    assert (tmp_path / "heat-maps/cnn.svg").read_text().startswith("<?xml")
    shortened = read("shortened")
    shares = [row["share"] for row in shortened if (row["optimizer"], row["combination"]) == ("adam", "robust")]
    assert shares == ["0.05", "0.1", "0.25", "0.5", "1.0"] and len(shortened) == 5 * 4 * 3
    # Nothing is done twice, and the same is found.
    assert study.study([experiment], tmp_path, 2) == first and log.read_text() == trials
    assert all(text in tables.told(first) for text in ("sweeps\n", "bounds\n", "extremes", "over_half_a_decade"))


def test_the_page_tells_what_the_committed_tables_hold():
    page = publish.PAGE.read_text()
    assert publish.with_tables(page, publish.FOLDER) == page
    # The headline's numbers, as text has them.
    headline = page.split("## In one number")[1].split("<!-- table")[0]
    for row in publish.read(publish.FOLDER, "summary"):
        worst = float(row["worst_narrowing"])
        assert f"{worst:.2g}" in headline and f"{float(row['worst_low']):.2g} to {float(row['worst_high']):.2g}" in headline
        assert f"{float(row['median_narrowing']):.1f}" in headline
        assert f"{row['good_inside']} of {row['judged']}" in page
    # Every point that is there can be counted again.
    points = publish.read(publish.FOLDER, "points")
    assert {row["workload"] for row in points} == {row["workload"] for row in publish.read(publish.FOLDER, "sweeps")}
    for row in publish.read(publish.FOLDER, "bounds"):
        low, high = float(row["search_lower"]), float(row["search_upper"])
        own = [each for each in points if (each["workload"], each["optimizer"]) == (row["workload"], row["optimizer"])]
        within = [each for each in own if low * (1 - 1e-6) <= float(each["epsilon"]) <= high * (1 + 1e-6)]
        assert len(within) == int(row["points_inside"])
        assert any(each["good"] == "True" for each in within) == (row["good_inside"] == "True")


def test_what_is_not_in_the_plan_is_told():
    command = [sys.executable, ROOT / "scripts/reproduce", "--quick", "--only", "vgg11"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "--only vgg11: not in this plan: expected one of cnn/adabelief, " in done.stderr

"""Distances between runs against SciPy's Wasserstein distance."""

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy.stats import wasserstein_distance

from runs import ROOT, analyse, read

RUNS = [ROOT / "data" / "runs" / name for name in ("cnn-calibration", "cnn-training")]


def bins(run, tensor, quantity):
    """Bins and counts of a tensor over all steps, from the table `histograms`."""
    rows = read(run, "histograms").filter((pc.field("tensor") == tensor) & (pc.field("quantity") == quantity))
    return rows["bin"].to_numpy(), rows["count"].to_numpy()


@pytest.fixture(scope="module")
def rows():
    found = analyse("diff", *RUNS)
    assert any(row["only"] is None for row in found)
    return found


def test_distances_are_scipys(rows):
    compared = [row for row in rows if row["only"] is None]
    for row in compared:
        (bins_a, counts_a), (bins_b, counts_b) = (bins(run, row["name"], row["quantity"]) for run in RUNS)
        expected = wasserstein_distance((bins_a + 0.5) / 40, (bins_b + 0.5) / 40, counts_a, counts_b)
        assert row["distance"] == pytest.approx(expected, rel=1e-9, abs=1e-12), row
        assert (row["count_a"], row["count_b"]) == (counts_a.sum(), counts_b.sum())


def test_shifts_are_those_of_the_sorted_bins(rows):
    for row in (row for row in rows if row["only"] is None):
        sorted_bins = []
        for run in RUNS:
            found, counts = bins(run, row["name"], row["quantity"])
            sorted_bins.append(np.sort(np.repeat(found, counts)))
        for column, index in [
            ("median_shift", lambda n: n // 2),
            ("lower_shift", lambda n: int((1 - 0.98) * n)),
            ("upper_shift", lambda n: int(0.98 * n)),
        ]:
            a, b = (values[index(len(values))] for values in sorted_bins)
            assert row[column] == (b - a) / 40, (row, column)


def test_greatest_distances_come_first(rows):
    distances = [row["distance"] for row in rows if row["distance"] is not None]
    assert distances == sorted(distances, reverse=True)
    assert all(row["distance"] is None for row in rows[len(distances) :])

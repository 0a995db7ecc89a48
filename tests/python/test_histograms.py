"""Histograms and the health of tensors against what NumPy and SQL make of the recorded magnitudes."""

import csv
import io
import math

import numpy as np
import polars as pl
import pytest

import oracle
from runs import analyse, call, manifest, query, read, signed_gradients


def recorded_counts(run, quantity):
    """The table `histograms` of a quantity: counts per bin, by step and tensor."""
    counts = {}
    for row in read(run, "histograms").to_pylist():
        if row["quantity"] == quantity:
            counts.setdefault((row["step"], row["tensor"]), {})[row["bin"]] = row["count"]
    return counts


def rows_of_tensors(run, quantity):
    """The rows of the table `tensors` of a quantity, by step and tensor."""
    rows = read(run, "tensors").to_pylist()
    return {(row["step"], row["tensor"]): row for row in rows if row["quantity"] == quantity}


def read_csv(*arguments):
    """What a histogram command prints as CSV."""
    return list(csv.DictReader(io.StringIO(call("epsiloscope", "histogram", *arguments, "--format", "csv").decode())))


def test_edges_of_the_oracle():
    """Powers of ten are edges; edges rise; both neighbours of an edge fall where integers say."""
    assert oracle.bins_of(np.float32([1, 10, 100, 1e10])).tolist() == [0, 40, 80, 400]
    assert oracle.bins_of(np.nextafter(np.float32([1, 10, 100, 1e10]), np.float32(0))).tolist() == [-1, 39, 79, 399]
    assert (np.diff(oracle.EDGES) >= 0).all()
    assert oracle.EDGES[0] == np.float32(1e-45) and oracle.EDGES[-1] < np.finfo(np.float32).max


def test_recorded_histograms_are_exact(every, gradients):
    counts = recorded_counts(every, "gradient")
    assert len(counts) == 8 * len(gradients)
    for (step, tensor), found in counts.items():
        assert found == oracle.histogram(np.abs(gradients[tensor][step - 1])), (step, tensor)


def test_recorded_health_of_tensors(every, gradients):
    rows = rows_of_tensors(every, "gradient")
    assert len(rows) == 8 * len(gradients)
    assert any(row["zeros"] for row in rows.values())
    for (step, tensor), row in rows.items():
        values = gradients[tensor][step - 1]
        magnitudes = np.abs(values)
        assert row["numel"] == values.size
        assert row["zeros"] == np.count_nonzero(values == 0)
        assert (row["nan"], row["pos_inf"], row["neg_inf"]) == (0, 0, 0)
        assert row["min_nonzero"] == magnitudes[magnitudes > 0].min()
        assert row["max"] == magnitudes.max()
        squares = math.fsum((values.astype(np.float64) ** 2).tolist())
        assert row["sum_of_squares"] == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize("name", ["every", "trained", "diverged"])
def test_every_element_is_counted_once(name, request):
    """Bins, zeros, NaN and infinities together are the tensor, at every step and for every quantity."""
    run = request.getfixturevalue(name)
    wrong = query(f"""
        SELECT step, tensor, quantity, numel, zeros + nan + pos_inf + neg_inf + coalesce(binned, 0) AS counted
        FROM '{run}/tensors/*.parquet'
        FULL JOIN (SELECT step, tensor, quantity, sum(count) AS binned
                   FROM '{run}/histograms/*.parquet' GROUP BY ALL) USING (step, tensor, quantity)
        WHERE numel IS DISTINCT FROM counted""").fetchall()
    assert wrong == []
    sizes = {info["name"]: math.prod(info["shape"]) for info in manifest(run)["tensors"]}
    assert {row["tensor"]: row["numel"] for row in read(run, "tensors").to_pylist()} == sizes


def test_magnitudes_are_exact_in_sql_but_at_edges(every):
    """floor(40·log10 m) in SQL is the bin, unless m is within one unit in the last place of an edge."""
    magnitudes = f"'{every}/magnitudes/*.parquet'"
    binned = f"""
        SELECT step, tensor, magnitude, floor(40 * log10(magnitude::DOUBLE))::INT AS bin
        FROM {magnitudes} WHERE magnitude > 0 AND quantity = 'gradient'"""
    found = query(binned).fetchnumpy()
    differ = found["bin"] != oracle.bins_of(found["magnitude"])
    assert oracle.next_to_an_edge(found["magnitude"][differ]).all()
    moved = query(f"""
        SELECT coalesce(sum(abs(coalesce(a.count, 0) - coalesce(b.count, 0))), 0)
        FROM (SELECT step, tensor, bin, count(*) AS count FROM ({binned}) GROUP BY ALL) a
        FULL JOIN (FROM '{every}/histograms/*.parquet' WHERE quantity = 'gradient') b USING (step, tensor, bin)
        """).fetchone()[0]
    assert moved <= 2 * np.count_nonzero(differ)
    assert np.count_nonzero(differ) < len(differ) / 1e5, "edges are rare"


def test_next_to_an_edge():
    """The exception that the test before makes is as narrow as it says."""
    edge = oracle.EDGES[2000]
    bits = edge.view(np.int32) + np.arange(-3, 4, dtype=np.int32)
    assert oracle.next_to_an_edge(bits.view(np.float32)).tolist() == [False, False, True, True, True, False, False]


@pytest.mark.parametrize("per", ["tensor", "run"])
def test_printed_histograms_are_sums_over_steps(every, per):
    expected = {}
    for quantity in manifest(every)["quantities"]:
        for (step, tensor), counts in recorded_counts(every, quantity).items():
            of = tensor if per == "tensor" else ""
            first, last, sums = expected.setdefault((of, quantity), (step, step, {}))
            for bin_, count in counts.items():
                sums[bin_] = sums.get(bin_, 0) + count
            expected[of, quantity] = (min(first, step), max(last, step), sums)
    printed = {}
    for row in read_csv(every, "--per", per):
        assert row["run"] == "every"
        key = (row["name"], row["quantity"])
        first, last, sums = printed.setdefault(key, (int(row["first_step"]), int(row["last_step"]), {}))
        assert (first, last) == (int(row["first_step"]), int(row["last_step"]))
        sums[int(row["bin"])] = int(row["count"])
    assert printed == expected


@pytest.mark.parametrize("per", ["tensor", "run"])
def test_density_and_edges(every, per):
    """The density is per decade, so that it sums to 1 over bins of a fortieth; edges are powers of 10^(1/40)."""
    shares, totals = {}, {}
    rows = analyse("histogram", every, "--per", per)
    for row in rows:
        key = (row["name"], row["quantity"])
        totals[key] = totals.get(key, 0) + row["count"]
        shares[key] = shares.get(key, 0) + row["density"] / 40
        assert row["lower"] == pytest.approx(10 ** (row["bin"] / 40), rel=1e-14)
        assert row["upper"] == pytest.approx(10 ** ((row["bin"] + 1) / 40), rel=1e-14)
    assert list(shares.values()) == pytest.approx([1] * len(shares), rel=1e-12)
    for row in rows:
        assert row["density"] == pytest.approx(row["count"] * 40 / totals[row["name"], row["quantity"]], rel=1e-15)


@pytest.mark.parametrize("per", ["tensor", "run"])
def test_both_origins_give_the_same(every, per):
    """Where every magnitude is recorded, critical ε included, counting them now is what was counted then."""
    from_histograms = analyse("histogram", every, "--per", per, "--from", "histograms")
    from_magnitudes = analyse("histogram", every, "--per", per, "--from", "magnitudes")
    assert from_histograms == from_magnitudes
    assert analyse("histogram", every, "--per", per) == from_histograms


def test_histograms_of_a_sample(sampled):
    values, _ = signed_gradients(sampled)
    printed = {}
    for row in analyse("histogram", sampled, "--from", "magnitudes"):
        printed.setdefault(row["name"], {})[row["bin"]] = row["count"]
    assert printed == {tensor: oracle.histogram(np.abs(rows)) for tensor, rows in values.items()}


def test_zeros_have_no_sign(every):
    """`negative` is said of values below zero, which -0.0 is not."""
    signed, zeros = query(f"""
        SELECT count_if(negative), count(*) FROM '{every}/magnitudes/*.parquet' WHERE magnitude = 0""").fetchone()
    assert zeros > 0 and signed == 0


# What a tensor of the networks recorded here is counted with: they have weights and biases alone.
GROUPS = {
    "tensor": lambda tensor: tensor,
    "layer": lambda tensor: tensor.rsplit(".", 1)[0],
    "kind": lambda tensor: tensor.rsplit(".", 1)[1],
    "run": lambda _tensor: None,
}


@pytest.mark.parametrize("per", GROUPS)
@pytest.mark.parametrize(("window", "n_steps", "bins_per_decade"), [("3", 3, 8), ("2..5", None, 5), ("run", 8, 1)])
def test_windows_and_groups_as_duckdb_and_polars_count_them(every, per, window, n_steps, bins_per_decade):
    """Integer sums of the recorded counts, by two engines that know nothing of us."""
    first, last = (2, 5) if n_steps is None else (1, 8)
    length, factor = n_steps or 8, 40 // bins_per_decade
    printed = {
        (row["name"], row["quantity"], (row["first_step"] - first) // length, row["bin"]): row["count"]
        for row in analyse("histogram", every, "--per", per, "--window", window, "--bins-per-decade", bins_per_decade)
    }
    files = f"{every}/histograms/*.parquet"
    by_duckdb = query(f"""
        SELECT tensor, quantity, (step - {first}) // {length}, floor(bin / {factor})::INT, sum(count)::BIGINT
        FROM '{files}' WHERE step BETWEEN {first} AND {last} GROUP BY ALL""").fetchall()
    by_polars = (
        pl.read_parquet(files)
        .filter(pl.col("step").is_between(first, last))
        .group_by("tensor", "quantity", (pl.col("step") - first) // length, pl.col("bin") // factor)
        .agg(pl.col("count").sum())
        .rows()
    )
    for rows in (by_duckdb, by_polars):
        expected = {}
        for tensor, *key, count in rows:
            key = (GROUPS[per](tensor), *key)
            expected[key] = expected.get(key, 0) + count
        assert printed == expected


@pytest.mark.parametrize("per", GROUPS)
def test_cumulative_shares_and_what_is_in_no_bin(every, per):
    """Shares rise to 1; with zeros and what is not finite, counts are all elements of all steps."""
    sizes = {}
    for info in manifest(every)["tensors"]:
        name = GROUPS[per](info["name"])
        sizes[name] = sizes.get(name, 0) + 8 * math.prod(info["shape"])
    histograms = {}
    for row in analyse("histogram", every, "--per", per, "--quantity", "gradient"):
        histograms.setdefault(row["name"], []).append(row)
    assert set(histograms) == set(sizes)
    for name, rows in histograms.items():
        counts = np.array([row["count"] for row in rows])
        assert [row["cumulative"] for row in rows] == (counts.cumsum() / counts.sum()).tolist()
        assert counts.sum() + rows[0]["zeros"] + rows[0]["non_finite"] == sizes[name]

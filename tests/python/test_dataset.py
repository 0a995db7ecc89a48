"""The data set of `epsiloscope analyze`, asked by other people's readers."""

import pathlib
import re

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest

from runs import ROOT, analyse, call

TABLES = ["runs", "tensors", "histograms", "estimates", "candidates"]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    out = tmp_path_factory.mktemp("analysis")
    call("epsiloscope", "analyze", ROOT / "data/runs", "--out", out)
    return out


def test_the_readme_s_query_gives_the_estimates_of_the_command(data_set):
    """Run for run and optimizer for optimizer, after the last epoch."""
    sql = next(block for block in re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if "QUALIFY" in block)
    rows = duckdb.sql(sql.replace("'analysis/", f"'{data_set}/")).fetchall()
    expected = {}
    for row in analyse("estimate", ROOT / "data/runs", "--at", "epoch", "--combination", "extremes"):
        if row["step"] >= expected.get((row["run"], row["optimizer"]), row)["step"]:
            expected[row["run"], row["optimizer"]] = row
    assert {row[:2] for row in rows} == set(expected) and len(rows) == len(expected)
    for run, optimizer, *found in rows:
        row = expected[run, optimizer]
        assert found == [row["search_lower"], row["search_upper"], row["lower_tensor"]]


@pytest.mark.parametrize("table", TABLES)
def test_every_reader_sees_the_same_rows(data_set, table):
    """DuckDB, polars and pyarrow take the run's name from the path."""
    files = f"{data_set}/{table}/*/*.parquet"
    by_duckdb = dict(duckdb.sql(f"SELECT run, count(*) FROM '{files}' GROUP BY run").fetchall())
    scanned = pl.scan_parquet(files, hive_partitioning=True).group_by("run").len().collect()
    read = ds.dataset(data_set / table, partitioning="hive").to_table()
    assert dict(scanned.iter_rows()) == by_duckdb
    assert {run: read["run"].to_pylist().count(run) for run in by_duckdb} == by_duckdb
    assert sorted(by_duckdb) == sorted(path.parent.name for path in pathlib.Path(ROOT / "data/runs").glob("*/run.json"))


def test_densities_and_cumulative_shares_are_those_of_the_counts(data_set):
    """Recomputed by polars from the counts."""
    counts = pl.read_parquet(f"{data_set}/histograms/*/*.parquet", hive_partitioning=True)
    key = ["run", "name", "quantity", "first_step"]
    total = pl.col("count").sum().over(key)
    again = counts.sort([*key, "bin"]).with_columns(
        (pl.col("count") * 40 / total - pl.col("density")).abs().alias("density_error"),
        (pl.col("count").cum_sum().over(key) / total - pl.col("cumulative")).abs().alias("cumulative_error"),
    )
    assert again["density_error"].max() < 1e-12 and again["cumulative_error"].max() < 1e-12

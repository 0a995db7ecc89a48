"""The recipes of docs/cookbook.md, run as they stand there, against the programs' own answers: the same numbers to the last bit."""

import math
import os
import re
import runpy
import shutil
import subprocess

import numpy as np
import polars as pl
import pytest

import oracle
from runs import ROOT, analyse, program
from spark_cluster import N_WORKERS, cluster

PAGE = ROOT / "docs" / "cookbook.md"
QUESTIONS = ["windows", "bounds", "elements", "binned"]
# A folder of magnitudes that is no run: all that lie next to an edge of a bin.
EDGES = "edges"
COLUMNS = {
    "windows": ["run", "tensor", "first_step", "bin", "n"],
    "binned": ["run", "tensor", "bin", "n"],
    "bounds": ["run", "quantity", "tensor", "lower", "upper", "search_lower", "search_upper"],
}
COLUMNS["elements"] = COLUMNS["bounds"]


def blocks(language):
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def in_shell(commands, folder):
    """Runs commands of the page, which know `epsiloscope` by its name."""
    environment = {**os.environ, "PATH": f"{program('epsiloscope').parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", commands], cwd=folder, env=environment, check=True, timeout=120)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory, snapshot_only):
    """A folder with runs, the edges of bins, and every block of the page that says which file it is."""
    folder = tmp_path_factory.mktemp("kitchen")
    shutil.copytree(ROOT / "data" / "runs", folder / "runs")
    shutil.copytree(snapshot_only, folder / "runs" / snapshot_only.name)
    write_edges(folder / "runs" / EDGES / "magnitudes")
    (bins,) = [commands for commands in blocks("sh") if "FROM bins" in commands]
    in_shell(bins, folder)
    for block in [*blocks("sql"), *blocks("python")]:
        name = re.match(r"(?:--|#) (\w+\.\w+)", block)
        assert name, f"a block without the name of its file: {block[:80]}"
        (folder / name[1]).write_text(block)
    return folder


def write_edges(folder):
    """Of every bin that a float32 falls into, the least, and the greatest of the bin below; and what is in no bin."""
    least = oracle.EDGES.view(np.uint32)
    infinity, largest = np.array([np.inf, np.finfo(np.float32).max], np.float32).view(np.uint32)
    magnitudes = np.unique(np.concatenate([least, least - 1, [0, largest, infinity]]).astype(np.uint32)).view(np.float32)
    rows = pl.DataFrame({"magnitude": [*magnitudes.tolist(), None]}, {"magnitude": pl.Float32}).with_columns(
        step=pl.lit(1, pl.Int64), tensor=pl.lit("all"), quantity=pl.lit("gradient"),
        element=pl.int_range(pl.len(), dtype=pl.Int64), negative=pl.lit(False))
    folder.mkdir(parents=True)
    # DataFusion's unions go by place.
    rows.select("step", "tensor", "quantity", "element", "magnitude", "negative").write_parquet(folder / "part-r000-00000.parquet", compression="zstd")


@pytest.fixture(scope="module")
def expected(kitchen):
    """What the programs say, by question: rows in the order of COLUMNS."""
    runs = [run for run in sorted((kitchen / "runs").iterdir()) if run.name != EDGES]
    windows = analyse("histogram", *runs, "--quantity", "gradient", "--window", 10)
    with_gradients = [run for run in runs if run.name != "snapshot-only"]
    counts = analyse("histogram", *with_gradients, "--quantity", "gradient", "--from", "magnitudes")
    edges = pl.read_parquet(kitchen / "runs" / EDGES / "magnitudes" / "*.parquet")["magnitude"].drop_nulls().to_numpy()
    return {
        "windows": {(row["run"], row["name"], row["first_step"], row["bin"], row["count"]) for row in windows},
        "binned": {(row["run"], row["name"], row["bin"], row["count"]) for row in counts}
        | {(EDGES, "all", bin, count) for bin, count in oracle.histogram(edges).items()},
        "bounds": bounds(runs),
        "elements": set(bounds([run for run in runs if run.name == "snapshot-only"])),
    }


def bounds(runs):
    """Rows of tensors' bounds with the run's search space, and of each how its bounds are known."""
    options = ("--optimizer", ",".join(["adam", "rmsprop", "adabelief", "adamomentum"]))
    spaces = {(row["run"], row["optimizer"]): tuple(round(math.log10(row[f"search_{end}"])) for end in ("lower", "upper"))
              for row in analyse("estimate", *runs, *options, "--combination", "extremes")}
    return {
        (row["run"], f"critical_epsilon.{row['optimizer']}", row["name"], row["lower"], row["upper"],
         *spaces[row["run"], row["optimizer"]]): row["method"]
        for row in analyse("estimate", *runs, *options, "--per", "tensor")
    }


def rows_of(question, answer):
    """The rows of whatever frame a tool makes, in the order of COLUMNS; no two are the same."""
    if hasattr(answer, "pl"):
        answer = answer.pl()
    elif hasattr(answer, "to_polars"):
        answer = answer.to_polars()
    elif not isinstance(answer, pl.DataFrame):
        answer = pl.from_pandas(answer)
    assert sorted(answer.columns) == sorted(COLUMNS[question])
    rows = answer.select(COLUMNS[question]).rows()
    assert len(set(rows)) == len(rows)
    return set(rows)


def bin_of(value):
    return oracle.bins_of(np.float32([value]))[0]


def check(question, found, expected):
    if question != "bounds":
        assert found == expected
        return
    # Where every element was recorded, the program knows its value, the bins the middle of the bin that it lies in.
    found, of_bins = ({(*row[:3], *map(bin_of, row[3:5]), *row[5:]): row for row in rows} for rows in (found, expected))
    assert found.keys() == of_bins.keys()
    methods = {key: expected[row] for key, row in of_bins.items()}
    assert "bins" in methods.values()
    for key, method in methods.items():
        assert method == "exact" or found[key] == of_bins[key], (method, key)


def check_answers(answers, expected, has_edges=True):
    asked = set()
    for name, answer in answers.items():
        question = name.split()[0]
        known = expected[question]
        known = known if has_edges or question != "binned" else {row for row in known if row[0] != EDGES}
        check(question, rows_of(question, answer), known)
        asked.add(question)
    assert asked == set(QUESTIONS)


def test_the_table_of_edges_has_every_bin_exactly(kitchen):
    """The least float32 that is not below the edge is the one that integers find."""
    bins = pl.read_parquet(kitchen / "bins.parquet")
    assert bins.schema == {"bin": pl.Int32, "lower": pl.Float64, "upper": pl.Float64}
    assert bins["bin"].to_list() == list(range(oracle.FIRST_BIN, oracle.LAST_BIN + 1))
    lower = bins["lower"].to_numpy()
    assert (bins["upper"].to_numpy()[:-1] == lower[1:]).all()
    nearest = lower.astype(np.float32)
    least = np.where(nearest.astype(np.float64) < lower, np.nextafter(nearest, np.float32(np.inf)), nearest)
    assert (least == oracle.EDGES).all()


@pytest.mark.parametrize("tool", ["duckdb", "polars", "pandas", "datafusion"])
def test_recipes_in_python(tool, kitchen, expected, monkeypatch):
    monkeypatch.chdir(kitchen)
    check_answers(runpy.run_path(f"in_{tool}.py")["answers"], expected)


def test_the_same_statements_asked_of_epsiloscope(kitchen, expected):
    (commands,) = [commands for commands in blocks("sh") if "-f $question.sql" in commands]
    in_shell(commands, kitchen)
    check_answers({name: pl.read_parquet(kitchen / f"{name}.parquet") for name in QUESTIONS}, expected, has_edges=False)


def test_recipes_on_a_spark_cluster(kitchen, expected, tmp_path):
    """A master and two workers; tasks ran on both, and the rows are those of one machine."""
    out = tmp_path / "out"
    with cluster(tmp_path) as spark:
        executors = spark.submit(kitchen / "in_spark.py", kitchen / "runs", kitchen / "bins.parquet", out)
    assert len(set(executors)) == N_WORKERS
    check_answers({name: pl.read_parquet(out / name / "*.parquet") for name in QUESTIONS}, expected)


def test_every_recipe_is_tried():
    """Each block of the page is a file that a test above runs, or commands that one does."""
    named = {re.match(r"(?:--|#) (\S+)", block)[1] for block in [*blocks("sql"), *blocks("python")]}
    assert named == {f"{name}.sql" for name in QUESTIONS} | {f"in_{tool}.py" for tool in ("duckdb", "polars", "pandas", "datafusion", "spark")}

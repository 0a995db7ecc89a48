"""The two programs, and what they leave behind, without any code of theirs."""

import json
import os
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
TABLES = ["magnitudes", "histograms", "tensors", "scalars", "steps"]
OPTIMIZERS = ["adam", "rmsprop", "adabelief", "adamomentum"]


def program(name):
    """The path of an executable; a missing one is a failure, never a skip."""
    folder = Path(os.environ.get("EPSILOSCOPE_BIN_DIR", ROOT / "target" / "debug"))
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: build it first, or name its folder in EPSILOSCOPE_BIN_DIR")
    return path


def call(name, *arguments):
    """Runs a program to its end and returns what it printed, as bytes; any other exit status than 0 is a failure."""
    # libtorch's idle threads must not spin beside the recorder's writer.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [str(program(name)), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr.decode()}"
    return done.stdout


def record(out, mode, *options):
    """Records a run on one thread, so that sums are added in one order, and returns its directory."""
    call("epsiloscope-record", mode, "--out", out, "--threads", 1, *options)
    return out


def analyse(command, *arguments):
    """The rows that a command of `epsiloscope` prints as JSON."""
    return json.loads(call("epsiloscope", command, *arguments, "--format", "json"))


def manifest(run):
    """run.json."""
    return json.loads((run / "run.json").read_text())


def listed_parts(run):
    """The finished parts of every commit, a line of the list each."""
    commits = [json.loads(line)["commit"] for line in (run / "parts-r000.jsonl").read_text().splitlines()]
    return [part for commit in commits for part in commit["parts"]]


def part_files(run, table):
    """Part files found in the directory, in the order of their names."""
    return sorted((run / table).glob("*.parquet"))


def read(run, table):
    """A table of a run, read by pyarrow."""
    return pq.read_table(run / table)


def in_duckdb():
    """A connection to DuckDB that shows times in UTC, as the other readers do."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def query(sql):
    """A query that DuckDB has run, to fetch from."""
    return in_duckdb().execute(sql)


def query_arrow(sql):
    """What a query finds in DuckDB, as an Arrow table."""
    return in_duckdb().sql(sql).to_arrow_table()


def signed_gradients(run):
    """The recorded gradients: per tensor an array [step, element], and the indices of the recorded elements."""
    table = read(run, "magnitudes").filter(pc.field("quantity") == "gradient")
    steps = manifest(run)["totals"]["steps"]
    gradients, elements = {}, {}
    for tensor in pc.unique(table["tensor"]).to_pylist():
        rows = table.filter(pc.field("tensor") == tensor).sort_by([("step", "ascending"), ("element", "ascending")])
        magnitude = rows["magnitude"].to_numpy()
        signed = np.where(rows["negative"].to_numpy(), -magnitude, magnitude).reshape(steps, -1)
        indices = rows["element"].to_numpy().reshape(steps, -1)
        assert (rows["step"].to_numpy().reshape(steps, -1) == np.arange(1, steps + 1)[:, None]).all()
        assert (indices == indices[0]).all(), f"{tensor}: other elements at other steps"
        gradients[tensor], elements[tensor] = signed, indices[0]
    return gradients, elements

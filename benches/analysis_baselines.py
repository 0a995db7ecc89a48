"""Times `epsiloscope histogram`, `query` and `estimate` against what people would ask the same files with, and prints tables.

Usage: analysis_baselines.py FOLDER EPSILOSCOPE SHARE, FOLDER being what benches/analysis.rs has written, and a hundredth
of the runs taken where SHARE is 100. Everything may use two threads. Time is that of the question alone for baselines,
without starting Python and importing libraries, and that of the whole process for Epsiloscope; memory is the peak of
the process. `analysis_baselines.py ask CONTENDER FOLDER` is one of those processes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
N_ROUNDS = 5
N_RUNS = (10, 100, 200, 1000)
SUMMARY = "SELECT tensor, count(*) AS n, sum(magnitude) AS s, max(magnitude) AS high FROM {table} GROUP BY tensor"
BINS = "CAST(floor(40 * log10(magnitude)) AS INTEGER)"
# The bins that hold the order statistics int(0.02 n) and int(0.98 n) of each tensor, and their extremes over the run.
BOUNDS = """
    WITH counts AS (SELECT run, tensor, bin, sum(count) AS count FROM read_parquet('{files}', hive_partitioning = true)
                    WHERE {which} GROUP BY ALL),
         sums AS (SELECT *, sum(count) OVER (PARTITION BY run, tensor ORDER BY bin) AS below,
                         sum(count) OVER (PARTITION BY run, tensor) AS n FROM counts),
         bounds AS (SELECT run, tensor, min(bin) FILTER (below > CAST(floor(0.02 * n) AS BIGINT)) AS lower,
                           min(bin) FILTER (below > CAST(floor(0.98 * n) AS BIGINT)) AS upper FROM sums GROUP BY ALL)
    SELECT *, min(lower) OVER (PARTITION BY run), max(upper) OVER (PARTITION BY run) FROM bounds"""


def in_duckdb(sql):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {THREADS}")
    return lambda: connection.execute(sql).fetchnumpy()


def duckdb_histogram(folder):
    ask = in_duckdb(f"SELECT tensor, {BINS} AS bin, count(*) AS count FROM '{folder}/magnitudes/*.parquet' "
                    "WHERE magnitude > 0 GROUP BY ALL")
    return lambda: int(ask()["count"].sum())


def duckdb_summary(folder):
    ask = in_duckdb(SUMMARY.format(table=f"'{folder}/magnitudes/*.parquet'"))
    return lambda: int(ask()["n"].sum())


def polars_summary(folder):
    import polars as pl

    magnitude = pl.col("magnitude")
    summary = pl.scan_parquet(f"{folder}/magnitudes/*.parquet").group_by("tensor").agg(
        n=pl.len(), s=magnitude.cast(pl.Float64).sum(), high=magnitude.max())
    return lambda: int(summary.collect(engine="streaming")["n"].sum())


def polars_histogram(folder):
    import polars as pl

    magnitude = pl.col("magnitude")
    counts = pl.scan_parquet(f"{folder}/magnitudes/*.parquet").filter(magnitude > 0).group_by(
        "tensor", bin=(40 * magnitude.log10()).floor().cast(pl.Int16)).len()
    return lambda: int(counts.collect(engine="streaming")["len"].sum())


def numpy_histogram(folder):
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(THREADS)
    width, bias = 4096, 2048

    def count(file):
        table = pq.ParquetFile(file, read_dictionary=["tensor"]).read(["tensor", "magnitude"], use_threads=False)
        tensor = table["tensor"].combine_chunks()
        names = tensor.dictionary.to_pylist()
        magnitude = table["magnitude"].to_numpy()
        with np.errstate(divide="ignore"):
            bins = np.floor(40 * np.log10(magnitude))
        is_counted = np.isfinite(bins)
        keys = tensor.indices.to_numpy()[is_counted] * width + bins[is_counted].astype(np.int32) + bias
        return names, np.bincount(keys, minlength=len(names) * width).reshape(-1, width)

    def ask():
        counts = {}
        with ThreadPoolExecutor(THREADS) as threads:
            for names, found in threads.map(count, sorted(Path(folder, "magnitudes").glob("*.parquet"))):
                for name, row in zip(names, found):
                    counts[name] = counts.get(name, 0) + row
        return int(sum(row.sum() for row in counts.values()))

    return ask


def duckdb_bounds(folder):
    ask = in_duckdb(BOUNDS.format(files=f"{folder}/*/histograms/*.parquet", which="quantity = 'gradient'"))
    return lambda: len(ask()["lower"])


def duckdb_last_bounds(folder):
    last = max(int(steps) for steps in Path(folder, "last_step").read_text().split())
    which = f"quantity = 'critical_epsilon.adam' AND step = {last}"
    ask = in_duckdb(BOUNDS.format(files=f"{folder}/*/histograms/*.parquet", which=which))
    return lambda: len(ask()["lower"])


BASELINES = {function.__name__: function
             for function in (duckdb_summary, polars_summary, duckdb_histogram, polars_histogram, numpy_histogram, duckdb_bounds, duckdb_last_bounds)}


def ask(contender, folder):
    """Prints wall-clock and processor seconds of a question, and its answer in short."""
    question = BASELINES[contender](folder)
    wall, cpu = time.perf_counter(), time.process_time()
    answer = question()
    print(time.perf_counter() - wall, time.process_time() - cpu, answer)


def run(*command):
    """Wall-clock and processor seconds and peak bytes of a process, and what it printed."""
    environment = {**os.environ, "POLARS_MAX_THREADS": str(THREADS), "RAYON_NUM_THREADS": str(THREADS)}
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        out.seek(0)
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out.read()


def baseline(contender, folder):
    """As `run`, with the times that a baseline takes of itself."""
    *_, peak, printed = run(sys.executable, __file__, "ask", contender, folder)
    wall, cpu, answer = printed.split()
    return float(wall), float(cpu), peak, int(answer)


def rounds(contenders, n_rounds=N_ROUNDS):
    """Asks all in turn and prints a line for each: medians, and ratios to the first, paired round by round."""
    found = {name: [] for name in contenders}
    for _ in range(n_rounds):
        for name, question in contenders.items():
            found[name].append(question())
    ours = next(iter(found.values()))
    for name, times in found.items():
        wall, cpu = (statistics.median(time[which] for time in times) for which in (0, 1))
        ratio, cpu_ratio = (statistics.median(their[which] / own[which] for their, own in zip(times, ours))
                            for which in (0, 1))
        peak = max(time[2] for time in times) / 2**20
        print(f"  {name:<34} {wall:8.2f} s {ratio:6.2f} {cpu:9.2f} s {cpu_ratio:6.2f} {peak:9.0f} MiB", flush=True)
    return found


def heading(text):
    print(f"{text}\n  {'':<34} {'time':>10} {'ratio':>6} {'processor':>11} {'ratio':>6} {'peak':>13}", flush=True)


def histogram_of_magnitudes(folder, program):
    heading("Histogram per tensor of a run's recorded magnitudes")

    def ours():
        *measured, out = run(program, "histogram", folder, "--from", "magnitudes", "--format", "csv")
        header, *rows = out.decode().splitlines()
        count = header.split(",").index("count")
        return *measured, sum(int(row.split(",")[count]) for row in rows)

    names = {"DuckDB": "duckdb_histogram", "polars, streaming": "polars_histogram", "pyarrow, NumPy": "numpy_histogram"}
    of_magnitudes(ours, names, folder)


def of_magnitudes(ours, names, folder):
    """Times ours against baselines, of which all must count the same magnitudes."""
    baselines = {name: lambda own=own: baseline(own, folder) for name, own in names.items()}
    found = rounds({"epsiloscope": ours, **baselines})
    answers = {measured[3] for times in found.values() for measured in times}
    assert len(answers) == 1, f"not all count the same: {answers}"
    print(f"  {answers.pop()} magnitudes")


def summary_in_sql(folder, program):
    heading("SQL: count, sum and maximum per tensor of a run's recorded magnitudes")

    def ours():
        *measured, out = run(program, "query", SUMMARY.format(table="magnitudes"), folder, "--format", "csv")
        _header, *rows = out.decode().splitlines()
        return *measured, sum(int(row.split(",")[1]) for row in rows)

    of_magnitudes(ours, {"DuckDB": "duckdb_summary", "polars, streaming": "polars_summary"}, folder)


def link_runs(root, distinct, n_runs):
    """So many runs, hard links to the files of a few."""
    for number in range(n_runs):
        source = distinct[number % len(distinct)]
        for file in source.rglob("*"):
            place = root / f"run={number:04}" / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                place.hardlink_to(file)
    last = max(distinct[0].glob("steps/*.parquet"))
    import pyarrow.parquet as pq
    (root / "last_step").write_text(str(max(pq.read_table(last)["step"].to_pylist())))
    return root


def estimates_of_runs(folder, program, share):
    distinct = sorted((folder / "distinct").iterdir())
    for n_runs in (n // share for n in N_RUNS if n >= share):
        runs = folder / f"runs-{n_runs}"
        # In a process of its own: what it imports would count as the peak of every later one.
        subprocess.run([sys.executable, __file__, "link", runs, str(n_runs), *distinct], check=True)
        n_rounds = N_ROUNDS if n_runs <= 200 else 1
        heading(f"{n_runs} runs, bounds of each tensor and run from the last critical ε of Adam")
        command = (program, "estimate", runs, "--optimizer", "adam", "--per", "tensor", "--format", "csv")
        rounds({"epsiloscope estimate": lambda: run(*command),
                "DuckDB": lambda: baseline("duckdb_last_bounds", runs)}, n_rounds)
        heading(f"{n_runs} runs, histogram of each tensor's gradients over all steps (DuckDB: their bounds)")
        with tempfile.TemporaryDirectory(dir=folder) as out:
            command = (program, "histogram", runs, "--quantity", "gradient", "--out", out, "--format", "csv")
            rounds({"epsiloscope histogram --out": lambda: run(*command),
                    "DuckDB": lambda: baseline("duckdb_bounds", runs)}, n_rounds)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ask", contender, folder]:
            ask(contender, folder)
        case ["link", root, n_runs, *distinct]:
            link_runs(Path(root), [Path(run) for run in distinct], int(n_runs))
        case [folder, program, share]:
            histogram_of_magnitudes(Path(folder) / "sampled", program)
            summary_in_sql(Path(folder) / "sampled", program)
            estimates_of_runs(Path(folder), program, int(share))

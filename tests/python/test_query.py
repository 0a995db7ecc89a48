"""`epsiloscope query` against DuckDB over the views that it writes: statement by statement, the same rows."""

import io
import math
import subprocess

import polars as pl
import pytest

from runs import ROOT, analyse, call, in_duckdb, program

OF_RUNS = [
    "SELECT run, count(*) AS n, max(step) AS last, avg(loss) AS loss FROM steps GROUP BY run ORDER BY run",
    "SELECT run, status, elements, beta2, epsilon FROM runs ORDER BY run",
    "SELECT tensor, sum(count) AS n FROM histograms WHERE quantity = 'gradient' GROUP BY tensor ORDER BY n DESC, tensor LIMIT 5",
    "SELECT tensor, sum(count) FILTER (WHERE bin < -160) AS below, sum(count) AS n FROM histograms GROUP BY tensor ORDER BY tensor",
    "SELECT h.run, h.tensor, b.lower, b.upper, sum(h.count) AS n FROM histograms h JOIN bins b ON h.bin = b.bin "
    "WHERE h.step <= 5 GROUP BY h.run, h.tensor, b.lower, b.upper ORDER BY h.run, h.tensor, b.lower",
    "SELECT m.run, m.tensor, b.bin, count(*) AS n FROM magnitudes m JOIN bins b ON m.magnitude >= b.lower AND m.magnitude < b.upper "
    "WHERE m.step = 2 AND m.quantity = 'gradient' GROUP BY m.run, m.tensor, b.bin ORDER BY m.run, m.tensor, b.bin",
    "SELECT tensor, quantity, count(*) AS n, min(magnitude) AS low, max(magnitude) AS high, avg(magnitude) AS mean "
    "FROM magnitudes GROUP BY tensor, quantity ORDER BY tensor, quantity",
    "SELECT CAST(floor(40 * log10(CAST(magnitude AS DOUBLE))) AS INTEGER) AS bin, count(*) AS n FROM magnitudes "
    "WHERE magnitude > 0 AND quantity = 'gradient' GROUP BY bin ORDER BY bin",
    "SELECT count(DISTINCT tensor) AS tensors, count(*) AS n FROM tensors",
    "SELECT DISTINCT run, quantity FROM histograms ORDER BY run, quantity",
    "SELECT run, step, loss FROM steps ORDER BY run DESC, step DESC LIMIT 4 OFFSET 2",
    "SELECT tensor, max(sum_of_squares) AS worst FROM tensors WHERE tensor LIKE '%weight' GROUP BY tensor "
    "HAVING max(sum_of_squares) > 0 ORDER BY tensor",
    "SELECT tensor, sum(zeros) AS zeros, sum(nan) AS nan, min(min_nonzero) AS low FROM tensors GROUP BY tensor ORDER BY tensor",
    "WITH per AS (SELECT run, tensor, sum(count) AS n FROM histograms GROUP BY run, tensor) "
    "SELECT run, max(n) AS most FROM per GROUP BY run ORDER BY run",
    "SELECT run, step, sum(loss) OVER (PARTITION BY run ORDER BY step) AS so_far FROM steps ORDER BY run, step",
    "SELECT run, step, row_number() OVER (PARTITION BY run ORDER BY step DESC) AS place FROM steps ORDER BY run, step",
    "SELECT CASE WHEN step <= 3 THEN 'early' ELSE 'late' END AS half, count(*) AS n FROM steps GROUP BY half ORDER BY half",
    "SELECT tensor, step FROM tensors WHERE step IN (SELECT step FROM steps WHERE step < 3) AND quantity = 'gradient' "
    "ORDER BY tensor, step, run",
    "SELECT run FROM runs UNION ALL SELECT tensor FROM tensors WHERE step = 1 AND quantity = 'gradient' ORDER BY run",
    "SELECT upper(tensor) AS loud, length(tensor) AS long FROM tensors WHERE step = 1 ORDER BY loud, long",
    "SELECT a.run, a.step, a.loss - b.loss AS gain FROM steps a JOIN steps b ON a.run = b.run AND a.step = b.step + 1 "
    "ORDER BY a.run, a.step",
    "SELECT run, min(time) AS start FROM steps GROUP BY run ORDER BY run",
    "SELECT coalesce(epoch, 0) AS epoch, count(*) AS n FROM steps GROUP BY coalesce(epoch, 0) ORDER BY epoch",
    "SELECT bin, lower, upper FROM bins ORDER BY bin",
    "SELECT name, count(*) AS n, sum(value) AS s FROM scalars GROUP BY name ORDER BY name",
]
OF_DATA_SETS = [
    "SELECT run, optimizer, search_lower, search_upper, lower_tensor FROM estimates "
    "WHERE scope = 'run' AND combination = 'extremes' ORDER BY run, optimizer, step",
    "SELECT run, name, quantity, sum(count) AS n FROM histograms GROUP BY run, name, quantity ORDER BY run, name, quantity",
    "SELECT run, regime, count(*) AS n, min(epsilon) AS low FROM candidates GROUP BY run, regime ORDER BY run, regime",
    "SELECT run, configuration, seed, elements, lacks FROM runs ORDER BY run",
    "SELECT optimizer, count(*) AS n FROM drift GROUP BY optimizer ORDER BY optimizer",
    "SELECT * FROM tensors ORDER BY run, tensor, quantity",
    "SELECT bin, lower FROM bins WHERE bin BETWEEN -2 AND 2 ORDER BY bin",
]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    out = tmp_path_factory.mktemp("asked") / "it's an [analysis]*"
    call("epsiloscope", "analyze", ROOT / "data/runs", "--out", out)
    return out


def ours(sql, *of):
    """The answer, as a frame."""
    return pl.read_parquet(io.BytesIO(call("epsiloscope", "query", sql, *of, "--format", "parquet")))


def duckdb_with_views(*of):
    connection = in_duckdb()
    connection.execute(call("epsiloscope", "query", "--ddl", "duckdb", *of).decode())
    return connection


def assert_same(found, expected):
    """The same columns and rows; real numbers to 1e-12, for sums are added in another order."""
    assert found.columns == expected.columns
    assert found.height == expected.height
    for theirs, mine in zip(expected.iter_rows(), found.iter_rows()):
        for a, b in zip(theirs, mine):
            if isinstance(a, float) and isinstance(b, float):
                assert a == b or math.isclose(a, b, rel_tol=1e-12) or (a != a and b != b), (theirs, mine)
            else:
                assert a == b, (theirs, mine)


@pytest.fixture(scope="module")
def asked(every, sampled, trained):
    """Runs, and DuckDB with views of them."""
    runs = (every, sampled, trained)
    return runs, duckdb_with_views(*runs)


@pytest.mark.parametrize("sql", OF_RUNS)
def test_runs_give_duckdb_s_answer(asked, sql):
    runs, connection = asked
    assert_same(ours(sql, *runs), connection.sql(sql).pl())


@pytest.mark.parametrize("sql", OF_DATA_SETS)
def test_a_data_set_gives_duckdb_s_answer(data_set, sql):
    assert_same(ours(sql, data_set), duckdb_with_views(data_set).sql(sql).pl())


def test_every_table_has_the_same_columns_and_types_in_duckdb(asked, data_set):
    """`--tables` says what `DESCRIBE` says."""
    runs, of_runs = asked
    for of, connection in [(runs, of_runs), ((data_set,), duckdb_with_views(data_set))]:
        listed = pl.DataFrame(analyse("query", "--tables", *of))
        tables = listed["table"].unique(maintain_order=True).to_list()
        views = {name for (name,) in connection.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
        # What is estimated of runs on demand is in no file.
        assert views == set(tables) - ({"estimates"} if len(of) > 1 else set())
        for table in views:
            theirs = [(row[0], row[1].replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"))
                      for row in connection.sql(f"DESCRIBE {table}").fetchall()]
            mine = listed.filter(pl.col("table") == table).select("column", "type").rows()
            assert theirs == mine, table


def test_whole_tables_are_the_same(asked):
    """Every row and column of every table, in an order of all its columns."""
    runs, connection = asked
    for table in ["runs", "histograms", "tensors", "steps", "scalars", "bins"]:
        found, expected = ours(f"SELECT * FROM {table}", *runs), connection.sql(f"FROM {table}").pl()
        assert_same(found.sort(found.columns), expected.sort(expected.columns))


def test_formats_and_pipes(every):
    """What is typed most: a table for people, CSV for a pipe that closes early."""
    table = call("epsiloscope", "query", "SELECT tensor, sum(count) AS n FROM histograms GROUP BY tensor", every).decode()
    assert table.splitlines()[0].split() == ["tensor", "n"] and '"' not in table
    command = [str(program("epsiloscope")), "query", "SELECT * FROM magnitudes", str(every), "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"run,step,tensor,quantity,element,magnitude,negative\n"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_examples_of_the_guide_are_answered(asked, data_set):
    """Every SQL block of docs/query.md, over runs or over a data set as it says in its first line."""
    text = (ROOT / "docs/query.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```sql\n")[1:]]
    assert len(blocks) >= 6
    runs, of_runs = asked
    of_data_set = duckdb_with_views(data_set)
    for sql in blocks:
        of, connection = ((data_set,), of_data_set) if sql.startswith("-- of a data set") else (runs, of_runs)
        found = ours(sql, *of)
        assert found.height > 0, sql
        if "in epsiloscope only" not in sql:
            expected = connection.sql(sql).pl()
            order = found.columns
            assert_same(found.sort(order), expected.sort(order))

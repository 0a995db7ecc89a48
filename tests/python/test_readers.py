"""Recorded tables and results, opened by DuckDB, polars and pyarrow as anyone would: by a glob, without options."""

import json
import math

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runs import TABLES, analyse, call, listed_parts, manifest, part_files, query, query_arrow

RUNS = ["every", "trained", "diverged"]
# A calibration has no scalars.
CASES = [(run, table) for run in RUNS for table in TABLES if (run, table) != ("every", "scalars")]
PART_LIMIT = 8 * 1024 * 1024

# Name, physical and logical type in the file, whether null may stand in it, encoding of the values.
INTEGER, LONG = ("INT32", "NONE"), ("INT64", "NONE")
TEXT, TIME = ("BYTE_ARRAY", "STRING"), ("INT64", "TIMESTAMP")
FLOAT, DOUBLE, BOOLEAN = ("FLOAT", "NONE"), ("DOUBLE", "NONE"), ("BOOLEAN", "NONE")
NAMES = [
    ("step", LONG, False, "RLE_DICTIONARY"),
    ("tensor", TEXT, False, "RLE_DICTIONARY"),
    ("quantity", TEXT, False, "RLE_DICTIONARY"),
]
COLUMNS = {
    "magnitudes": [
        *NAMES,
        ("element", LONG, False, "DELTA_BINARY_PACKED"),
        ("magnitude", FLOAT, True, "PLAIN"),
        ("negative", BOOLEAN, True, "PLAIN"),
    ],
    "histograms": [
        *NAMES,
        ("bin", INTEGER, False, "DELTA_BINARY_PACKED"),
        ("count", LONG, False, "DELTA_BINARY_PACKED"),
    ],
    "tensors": [
        *NAMES,
        ("numel", LONG, False, "RLE_DICTIONARY"),
        ("zeros", LONG, False, "DELTA_BINARY_PACKED"),
        ("nan", LONG, False, "DELTA_BINARY_PACKED"),
        ("pos_inf", LONG, False, "DELTA_BINARY_PACKED"),
        ("neg_inf", LONG, False, "DELTA_BINARY_PACKED"),
        ("min_nonzero", FLOAT, True, "PLAIN"),
        ("max", FLOAT, True, "PLAIN"),
        ("sum_of_squares", DOUBLE, False, "PLAIN"),
    ],
    "scalars": [
        ("step", LONG, False, "RLE_DICTIONARY"),
        ("name", TEXT, False, "RLE_DICTIONARY"),
        ("value", DOUBLE, True, "PLAIN"),
    ],
    "steps": [
        ("step", LONG, False, "DELTA_BINARY_PACKED"),
        ("epoch", INTEGER, True, "RLE_DICTIONARY"),
        ("time", TIME, False, "DELTA_BINARY_PACKED"),
        ("loss", DOUBLE, True, "PLAIN"),
        ("learning_rate", DOUBLE, True, "PLAIN"),
        ("loss_scale", DOUBLE, True, "PLAIN"),
        ("overflow", BOOLEAN, False, "PLAIN"),
    ],
}
SORTED_BY = {"magnitudes": 4, "histograms": 4, "tensors": 3, "scalars": 1, "steps": 1}
# The leading columns that tell rows apart.
KEYS = {**SORTED_BY, "scalars": 2}

# What each reader makes of a type: pyarrow, polars, DuckDB.
READ_AS = {
    INTEGER: (pa.int32(), pl.Int32, "INTEGER"),
    LONG: (pa.int64(), pl.Int64, "BIGINT"),
    TEXT: (pa.string(), pl.String, "VARCHAR"),
    TIME: (pa.timestamp("us", "UTC"), pl.Datetime("us", "UTC"), "TIMESTAMP WITH TIME ZONE"),
    FLOAT: (pa.float32(), pl.Float32, "FLOAT"),
    DOUBLE: (pa.float64(), pl.Float64, "DOUBLE"),
    BOOLEAN: (pa.bool_(), pl.Boolean, "BOOLEAN"),
}


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """Each table of each run, by their names."""
    return request.param


@pytest.fixture
def run(case, request):
    """The case's run."""
    return request.getfixturevalue(case[0])


@pytest.fixture
def table(case):
    """The case's table."""
    return case[1]


def read_by_three(glob, order, hive=False):
    """The same files by pyarrow, polars and DuckDB, each sorted by its own means, as Arrow tables."""
    by_arrow = with_plain_partitions(pq.read_table(glob.split("/*")[0])).sort_by(ascending(order))
    by_polars = pl.scan_parquet(glob, hive_partitioning=hive).sort(order).collect().to_arrow()
    from_files = f"FROM read_parquet('{glob}', hive_partitioning = {hive}) ORDER BY {', '.join(order)}"
    return by_arrow, by_polars, query_arrow(from_files)


def ascending(columns):
    """How pyarrow wants to be told to sort."""
    return [(column, "ascending") for column in columns]


def with_plain_partitions(table):
    """pyarrow reads a partition's name as a dictionary of texts, by which it cannot sort."""
    if "run" not in table.column_names:
        return table
    names = table["run"].cast(pa.string())
    return table.set_column(table.column_names.index("run"), "run", names)


def assert_same(tables):
    """Equal to the last bit, nulls at the same places, as soon as text and time zones are called the same."""
    first = tables[0]
    for other in tables[1:]:
        assert other.select(first.column_names).cast(first.schema).equals(first)


def test_three_readers_find_the_same_values(run, table):
    order = [name for name, *_ in COLUMNS[table][: KEYS[table]]]
    tables = read_by_three(f"{run}/{table}/*.parquet", order)
    rows = manifest(run)["totals"]["tables"][table]["rows"]
    assert [found.num_rows for found in tables] == [rows] * 3
    assert rows > 0
    assert_same(tables)
    assert len(tables[0].select(order).group_by(order).aggregate([])) == rows, "a key stands in two rows"


def test_types_are_read_as_documented(run, table):
    """Plain ones: no dictionaries or categories, and nothing unsigned."""
    wanted = [(name, *READ_AS[kind]) for name, kind, *_ in COLUMNS[table]]
    glob = f"{run}/{table}/*.parquet"
    schema = pq.read_schema(part_files(run, table)[0])
    assert list(zip(schema.names, schema.types)) == [(name, arrow) for name, arrow, _, _ in wanted]
    assert list(pl.scan_parquet(glob).collect_schema().items()) == [(name, polars) for name, _, polars, _ in wanted]
    described = query(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{glob}')").fetchall()
    assert described == [(name, duck) for name, _, _, duck in wanted]


def test_types_in_the_file(run, table):
    for path in part_files(run, table):
        schema = pq.ParquetFile(path).schema
        columns = [schema.column(index) for index in range(len(schema))]
        found = [
            (column.name, (column.physical_type, column.logical_type.type), column.max_definition_level == 1)
            for column in columns
        ]
        assert found == [column[:3] for column in COLUMNS[table]]
        assert all(column.max_repetition_level == 0 for column in columns)
        times = [json.loads(column.logical_type.to_json()) for column in columns if column.name == "time"]
        assert all(time["isAdjustedToUTC"] and time["timeUnit"] == "microseconds" for time in times)


def test_footers(run, table):
    for path in part_files(run, table):
        metadata = pq.read_metadata(path)
        pairs = metadata.metadata
        assert b"ARROW:schema" not in pairs
        assert pairs[b"epsiloscope.schema_version"] == b"2"
        assert pairs[b"epsiloscope.bins_per_decade"] == b"40"
        assert pairs[b"epsiloscope.table"] == table.encode()
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            order = [(column.column_index, column.descending, column.nulls_first) for column in group.sorting_columns]
            assert order == [(index, False, False) for index in range(SORTED_BY[table])]


def test_codecs_and_encodings(run, table):
    # RLE are the levels, PLAIN also the values of a dictionary.
    beside = {"RLE", "PLAIN"}
    for path in part_files(run, table):
        metadata = pq.read_metadata(path)
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for index, (name, _, _, encoding) in enumerate(COLUMNS[table]):
                column = group.column(index)
                # Floats as they stand and runs of keys would hardly get smaller.
                is_run = encoding == "RLE_DICTIONARY" and name not in ("numel", "epoch")
                compression = "UNCOMPRESSED" if encoding == "PLAIN" or is_run else "ZSTD"
                assert (column.path_in_schema, column.compression) == (name, compression)
                assert encoding in column.encodings
                assert set(column.encodings) <= beside | {encoding}


def test_rows_are_in_the_declared_order(run, table):
    order = ascending(name for name, *_ in COLUMNS[table][: SORTED_BY[table]])
    for path in part_files(run, table):
        part = pq.read_table(path)
        assert part.sort_by(order).equals(part), path.name


def test_no_nan_in_float_columns(run, table):
    for name, kind, *_ in COLUMNS[table]:
        if kind in (FLOAT, DOUBLE):
            column = pq.read_table(run / table, columns=[name])[name].drop_null()
            assert not np.isnan(column.to_numpy()).any(), name


def test_nan_is_null_and_counted(diverged):
    """Where a run diverges, null stands for NaN, as often as `tensors` says."""
    tensors, magnitudes = f"'{diverged}/tensors/*.parquet'", f"'{diverged}/magnitudes/*.parquet'"
    infos = manifest(diverged)["tensors"]
    is_whole = {info["name"]: info["recorded_elements"] == math.prod(info["shape"]) for info in infos}
    counted = query(f"""
        SELECT step, tensor, nan, numel, nulls, signed
        FROM {tensors} JOIN (
            SELECT step, tensor, quantity, count_if(magnitude IS NULL) AS nulls,
                count_if(magnitude IS NULL AND negative) AS signed
            FROM {magnitudes} GROUP BY ALL) USING (step, tensor, quantity)""").fetchall()
    assert len(counted) == 6 * len(is_whole)
    for step, tensor, nan, numel, nulls, signed in counted:
        assert (nan == nulls) if is_whole[tensor] else (nulls <= nan <= numel), (step, tensor)
        assert signed == 0
    assert sum(is_whole.values()) == 5
    of_bias = sorted((step, nulls) for step, tensor, _, _, nulls, _ in counted if tensor == "fc2.bias")
    assert of_bias == [(1, 0), *((step, 10) for step in range(2, 7))]
    losses = query(f"SELECT loss FROM '{diverged}/steps/*.parquet' ORDER BY step").fetchall()
    assert losses[0][0] is not None and losses[1:] == [(None,)] * 5


@pytest.mark.parametrize("name", RUNS)
def test_listed_parts_are_the_files(name, request):
    run = request.getfixturevalue(name)
    parts = listed_parts(run)
    on_disk = {path.relative_to(run).as_posix() for table in TABLES for path in part_files(run, table)}
    assert {f"{part['table']}/{part['file']}" for part in parts} == on_disk
    assert len(parts) == len(on_disk)
    for part in parts:
        path = run / part["table"] / part["file"]
        steps = pq.read_table(path, columns=["step"])["step"].to_numpy()
        assert path.stat().st_size == part["bytes"] <= PART_LIMIT
        assert (len(steps), steps.min(), steps.max()) == (part["rows"], part["first_step"], part["last_step"])
    for table, totals in manifest(run)["totals"]["tables"].items():
        own = [part for part in parts if part["table"] == table]
        sums = {"rows": sum(part["rows"] for part in own), "bytes": sum(part["bytes"] for part in own)}
        assert totals == {"parts": len(own), **sums}


def test_hive_data_set(every, trained, sampled, tmp_path):
    """Each run is a partition, its name a text, escaped where a path demands it."""
    call("epsiloscope", "histogram", every, trained, sampled, "--out", tmp_path)
    glob = f"{tmp_path}/histograms/*/*.parquet"
    order = ["run", "name", "quantity", "bin"]
    assert pq.read_table(tmp_path / "histograms").schema.field("run").type.value_type == pa.string()
    assert pl.scan_parquet(glob, hive_partitioning=True).collect_schema()["run"] == pl.String
    call("epsiloscope", "histogram", sampled, "--out", tmp_path / "dated")
    for files in (glob, f"{tmp_path}/dated/histograms/*/*.parquet"):
        described = query(f"DESCRIBE FROM read_parquet('{files}', hive_partitioning = true)").fetchall()
        assert ("run", "VARCHAR") in [row[:2] for row in described]
    tables = read_by_three(glob, order, hive=True)
    assert_same(tables)
    assert set(tables[0]["run"].to_pylist()) == {"every", "trained, 25 steps", "r-2026-01-31"}
    printed = pa.Table.from_pylist(analyse("histogram", every, trained, sampled)).sort_by(ascending(order))
    assert_same([tables[0], printed])


@pytest.mark.parametrize("per", ["run", "tensor"])
@pytest.mark.parametrize("command", ["histogram", "estimate"])
def test_results_in_parquet(every, trained, tmp_path, command, per):
    """`--format parquet` holds the rows that `--format json` prints, in plain types."""
    arguments = (command, every, trained, "--per", per)
    rows = analyse(*arguments)
    path = tmp_path / "results.parquet"
    path.write_bytes(call("epsiloscope", *arguments, "--format", "parquet"))
    by_arrow = pq.read_table(path)
    assert by_arrow.to_pylist() == rows
    assert set(by_arrow.schema.types) <= {pa.string(), pa.int32(), pa.int64(), pa.float64()}
    assert b"ARROW:schema" not in pq.read_metadata(path).metadata
    assert pl.read_parquet(path).to_dicts() == rows
    assert query_arrow(f"FROM '{path}'").to_pylist() == rows

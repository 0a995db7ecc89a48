"""Runs and tensors with names that attack what shows them, through every command: nothing of them is acted upon.

No script of a name runs in a report, no control character reaches a terminal, no cell of a CSV file is a formula, and nothing
is written but below `--out`.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import unicodedata
from xml.etree import ElementTree

import pytest

from hostile import NAMES, write
from runs import ROOT, analyse, program

RUN = ROOT / "data" / "runs" / "cnn-calibration"
FORMULAS = tuple("=+-@\t\r\n＝＋－＠")
# Invisible characters and those that change the direction of others; what separates lines or paragraphs; surrogates.
HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}
# Of the category Cf, but seen: signs that enclose numbers.
SEEN = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")


def run(*arguments, stdin=None, status=0):
    """What a command prints, on both streams, if it ended as it should."""
    command = [str(program("epsiloscope")), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False)
    assert done.returncode == status, (command, done.returncode, done.stderr[-2000:])
    return done.stdout, done.stderr


def check_terminal(text):
    """No character that a terminal acts upon or a reader cannot see, but for line breaks."""
    text = text.decode()
    hidden = {character for character in text if unicodedata.category(character) in HIDDEN} - SEEN - {"\n"}
    assert not hidden, f"{[f'U+{ord(character):04X}' for character in hidden]} in {text[:200]!r}"


def check_cells(text, objects):
    """Cells of texts are no formulas, and say what they say in JSON; numbers are numbers."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(objects)
    for row, expected in zip(rows, objects):
        for column, cell in row.items():
            value = expected[column]
            if isinstance(value, str):
                assert not cell.startswith(FORMULAS), (column, cell[:100])
                assert cell in (value, f"'{value}"), (column, cell[:100])
            elif isinstance(value, bool) or value is None:
                assert cell == ("" if value is None else str(value).lower())
            else:
                assert float(cell) == value


TABLES = {
    "estimate": ["estimate"],
    "estimate, per tensor": ["estimate", "--per", "tensor"],
    "candidates": ["candidates", "--optimizer", "adam"],
    "candidates, per tensor": ["candidates", "--optimizer", "adam", "--per", "tensor", "--epsilon", "1e-4"],
    "narrowing": ["candidates", "--view", "narrowing"],
    "drift": ["drift"],
    "spread": ["spread"],
    "histogram": ["histogram", "--bins-per-decade", "1", "--quantity", "gradient"],
    "histogram, per layer": ["histogram", "--per", "layer", "--bins-per-decade", "1"],
    "inspect": ["inspect"],
    "files": ["inspect", "--view", "files"],
    "tensors": ["inspect", "--view", "tensors"],
    "steps": ["inspect", "--view", "steps"],
    "scalars": ["inspect", "--view", "scalars"],
    "verify": ["verify"],
    "compact": ["compact", "--dry-run"],
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_show_names_and_do_nothing_else(hostile_runs, name):
    command, *options = TABLES[name]
    table, errors = run(command, *options, hostile_runs)
    assert table.strip()
    check_terminal(table)
    check_terminal(errors)
    objects, errors = run(command, *options, hostile_runs, "--format", "json")
    check_terminal(objects)
    check_terminal(errors)
    objects = json.loads(objects)
    text, errors = run(command, *options, hostile_runs, "--format", "csv")
    check_terminal(errors)
    check_cells(text.decode(), objects)


STATEMENTS = [
    "SELECT run, tensor, sum(count) AS n, min(bin) - 1000 AS low FROM histograms GROUP BY run, tensor",
    "SELECT run, optimizer, lower_tensor, search_lower FROM estimates WHERE scope = 'run' AND combination = 'extremes'",
    "SELECT run, name, value FROM scalars",
    "SELECT DISTINCT run, quantity FROM tensors",
    "SELECT * FROM runs",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_answers_to_sql(hostile_runs, sql):
    table, errors = run("query", sql, hostile_runs)
    check_terminal(table)
    check_terminal(errors)
    text, _ = run("query", sql, hostile_runs, "--format", "csv")
    check_cells(text.decode(), analyse("query", sql, hostile_runs))


def test_views_for_duckdb(hostile_runs):
    """Statements are read by people and by DuckDB, which finds the names as they are."""
    import duckdb

    views, errors = run("query", "--ddl", "duckdb", hostile_runs)
    check_terminal(views)
    check_terminal(errors)
    connection = duckdb.connect()
    connection.execute(views.decode())
    found = {name for (name,) in connection.sql("SELECT DISTINCT run FROM runs").fetchall()}
    # DuckDB's text holds NUL as any other character.
    assert found >= {name for name in NAMES if NAMES.count(name) == 1}


def test_two_runs_side_by_side(hostile_runs):
    for other in sorted(hostile_runs.glob("*/*/run.json"))[::20]:
        table, errors = run("diff", hostile_runs / "tensors", other.parent)
        check_terminal(table)
        check_terminal(errors)
        text, _ = run("diff", hostile_runs / "tensors", other.parent, "--format", "csv")
        check_cells(text.decode(), analyse("diff", hostile_runs / "tensors", other.parent))


def test_figures(hostile_runs, tmp_path):
    """SVG in which names are text: no element and no attribute that could run or load anything."""
    for of, figure in [(hostile_runs, "search-space"), (hostile_runs / "tensors", "bounds")]:
        out = tmp_path / f"{figure}.svg"
        _, errors = run("plot", "--figure", figure, "--optimizer", "adam", of, "--out", out)
        check_terminal(errors)
        for element in ElementTree.parse(out).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "a", "foreignObject", "image", "use", "iframe"), element.tag
            assert not any(name.startswith("on") or name.endswith("href") for name in element.attrib), element.attrib


def test_pictures_on_the_terminal(hostile_runs):
    for shown in [hostile_runs / "tensors", *sorted(hostile_runs.glob("*"))[::40]]:
        picture, errors = run("show", shown)
        check_terminal(picture)
        check_terminal(errors)


@pytest.mark.parametrize("tool", ["json", "optuna", "wandb", "katib"])
def test_exports(hostile_runs, tool):
    space, errors = run("export", hostile_runs, "--to", tool)
    check_terminal(space)
    check_terminal(errors)
    if tool == "json":
        json.loads(space)
    else:
        code = [line for line in space.decode().splitlines() if not line.startswith("#")]
        assert not any("pwned" in line or "alert" in line for line in code)


def test_faults_name_runs_without_their_characters(hostile_runs, tmp_path):
    """What is wrong with runs is told in lines, one each, by their directories."""
    shutil.copytree(hostile_runs, tmp_path / "damaged")
    damaged = sorted((tmp_path / "damaged").glob("*/**/run.json"))
    for manifest in damaged:
        manifest.write_text(manifest.read_text()[:-10])
    command = [str(program("epsiloscope")), "estimate", *(str(manifest.parent) for manifest in damaged)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert done.returncode == 2 and not done.stdout
    check_terminal(done.stderr)
    assert done.stderr.count(b"\n") == len(damaged)


def tree(folder):
    """Every file below a folder and what it holds, without following links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path] = os.readlink(path)
        elif path.is_file():
            found[path] = path.read_bytes()
        else:
            found[path] = path.stat().st_mode
    return found


OUTPUTS = {
    "histogram": (["histogram", "--quantity", "gradient", "--bins-per-decade", "4"], ""),
    "analyze": (["analyze", "--optimizer", "adam"], ""),
    "report": (["report", "--optimizer", "adam"], "report.html"),
    "query": (["query", "SELECT run FROM runs"], "answer.csv"),
    "plot": (["plot", "--figure", "search-space", "--optimizer", "adam"], "figure.svg"),
    "export": (["export", "--to", "optuna"], "space.py"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_nothing_is_written_outside(hostile_runs, name, tmp_path):
    (command, *options), file = OUTPUTS[name]
    out = tmp_path / "out"
    out.mkdir()
    before = tree(tmp_path), tree(hostile_runs)
    printed, errors = run(command, *options, hostile_runs, "--out", out / file)
    check_terminal(printed)
    check_terminal(errors)
    written = {path for path in tree(tmp_path) if path not in before[0]}
    assert written and all(out in path.parents for path in written)
    if file:
        assert written == {out / file}
    assert tree(hostile_runs) == before[1]
    assert not (ROOT / "pwned").exists()


def planted(out, file, victims):
    """Links and a FIFO where results will be written."""
    if file:
        (out / file).symlink_to(victims / "precious")
        return
    for place in ["histograms", "estimates"]:
        (out / place).mkdir()
    (out / "histograms" / f"run={RUN.name}").symlink_to(victims)
    (out / "estimates" / f"run={RUN.name}").mkdir()
    (out / "estimates" / f"run={RUN.name}" / "part-0.parquet").symlink_to(victims / "precious")


@pytest.mark.parametrize("name", OUTPUTS)
def test_planted_links_are_not_written_through(name, tmp_path):
    (command, *options), file = OUTPUTS[name]
    out, victims = tmp_path / "out", tmp_path / "victims"
    for folder in (out, victims):
        folder.mkdir()
    (victims / "precious").write_text("precious")
    planted(out, file, victims)
    words = [str(program("epsiloscope")), command, *options, str(RUN), "--out", str(out / file)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert tree(victims) == {victims / "precious": b"precious"}
    check_terminal(done.stdout + done.stderr)
    # A file in a link's place takes it; a folder that is a link is refused in one line.
    assert done.returncode == (0 if file else 2), done.stderr
    assert done.stderr.count(b"\n") == (0 if file else 1)
    if file:
        assert (out / file).is_file() and not (out / file).is_symlink()


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_fifo_in_the_way_is_not_waited_for(name, tmp_path):
    (command, *options), file = OUTPUTS[name]
    out = tmp_path / "out"
    folder = out / "histograms" / f"run={RUN.name}"
    folder.mkdir(parents=True)
    fifos = [out / file] if file else [folder / "part-0.parquet"]
    if name == "analyze":
        (out / ".state").mkdir()
        fifos += [out / ".state" / f"{RUN.name}.json"]
    for fifo in fifos:
        os.mkfifo(fifo)
    run(command, *options, RUN, "--out", out / file)
    assert all(fifo.is_file() for fifo in fifos)


@pytest.mark.parametrize("kind", ["link", "FIFO"])
def test_a_data_set_s_lock_is_a_file(kind, tmp_path):
    state = tmp_path / "out" / ".state"
    state.mkdir(parents=True)
    if kind == "FIFO":
        os.mkfifo(state / "lock")
    else:
        (state / "lock").symlink_to(tmp_path / "pwned")
    words = [str(program("epsiloscope")), "analyze", str(RUN), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1, done
    assert not (tmp_path / "pwned").exists()


def test_tensors_may_not_be_called_by_books(tmp_path):
    """A name of 10 kB is refused where it would be written."""
    wanted = [{"dir": str(tmp_path / "run"), "run": "r", "names": [NAMES[-1]]}]
    done = write(wanted)
    assert done.returncode != 0 and b"512" in done.stderr

"""Results from Python: the command line's rows, as other libraries and notebooks take them."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import duckdb
import numpy as np
import optuna
import pandas
import polars
import pyarrow
import pytest
from IPython.core.formatters import DisplayFormatter

import epsiloscope
from hostile import hostile_names
from runs import ROOT, analyse, call

DATA = ROOT / "data" / "runs"
RUNS = sorted(DATA.iterdir())
ASKED = [
    (epsiloscope.estimate, "estimate", {}, ["--combination", "extremes"]),
    (epsiloscope.estimate, "estimate", {"per": "tensor", "optimizer": "keras-adam"}, ["--per", "tensor", "--optimizer", "keras-adam"]),
    (
        epsiloscope.estimate,
        "estimate",
        {"per": "kind", "combination": ["robust", "extremes", "pooled"], "percentile": 0.9, "confidence": 0.8, "bootstrap": 50, "seed": 3},
        ["--per", "kind", "--percentile", 0.9, "--confidence", 0.8, "--bootstrap", 50, "--seed", 3],
    ),
    (epsiloscope.estimate, "estimate", {"at": "epoch", "beta1": 0.5, "beta2": 0.99}, ["--combination", "extremes", "--at", "epoch", "--beta1", 0.5, "--beta2", 0.99]),
    (epsiloscope.histogram, "histogram", {}, []),
    (
        epsiloscope.histogram,
        "histogram",
        {"per": "layer", "window": "epoch", "bins_per_decade": 4, "quantity": "gradient", "from_": "magnitudes"},
        ["--per", "layer", "--window", "epoch", "--bins-per-decade", 4, "--quantity", "gradient", "--from", "magnitudes"],
    ),
    (epsiloscope.histogram, "histogram", {"per": "run", "window": 10}, ["--per", "run", "--window", 10]),
    (epsiloscope.candidates, "candidates", {}, []),
    (epsiloscope.candidates, "candidates", {"epsilon": [1e-8, 1e-4], "lr": 0.1, "per": "layer"}, ["--epsilon", "1e-8,1e-4", "--lr", 0.1, "--per", "layer"]),
    (epsiloscope.candidates, "candidates", {"combination": "robust"}, ["--combination", "robust"]),
    (epsiloscope.candidates, "candidates", {"combination": "pooled", "view": "narrowing"}, ["--combination", "pooled", "--view", "narrowing"]),
    (epsiloscope.candidates, "candidates", {"points": 3, "range": "language", "view": "narrowing"}, ["--points", 3, "--range", "language", "--view", "narrowing"]),
]


@pytest.mark.parametrize(("ask", "command", "options", "arguments"), ASKED, ids=lambda value: value if isinstance(value, str) else "")
def test_rows_are_those_of_the_command_line(ask, command, options, arguments, recwarn):
    assert ask(RUNS, **options).to_dicts() == analyse(command, *RUNS, *arguments)
    assert not recwarn.list


@pytest.mark.parametrize("ask", [epsiloscope.estimate, epsiloscope.candidates])
def test_text_is_that_of_the_command_line(ask):
    assert repr(ask(DATA, optimizer="adam")) + "\n" == call("epsiloscope", ask.__name__, DATA, "--optimizer", "adam").decode()
    rows = {"optimizer": "adam", "per": "tensor"}
    asked = ["--optimizer", "adam", "--per", "tensor", *(["--combination", "extremes"] if ask is epsiloscope.estimate else [])]
    assert repr(ask(RUNS[0], **rows)) + "\n" == call("epsiloscope", ask.__name__, RUNS[0], *asked).decode()


@pytest.fixture(scope="module", params=[epsiloscope.estimate, epsiloscope.histogram, epsiloscope.candidates], ids=lambda ask: ask.__name__)
def table(request):
    """Rows of several runs, in a batch for each."""
    return request.param(RUNS)


def test_libraries_take_it(table):
    rows = table.to_dicts()
    assert len(table) == len(rows) > 0 and table.columns == list(rows[0]) == list(table.schema)
    assert polars.DataFrame(table).to_dicts() == rows
    assert pyarrow.table(table).to_pylist() == rows
    columns = pandas.DataFrame.from_arrow(table)
    assert columns.astype(object).where(columns.notna(), None).to_dict("records") == rows
    results = table
    found = duckdb.sql("FROM results")
    assert [dict(zip(found.columns, row)) for row in found.fetchall()] == rows


def test_a_schema_is_known_without_rows(table):
    schema = pyarrow.schema(table)
    assert schema == pyarrow.table(table).schema and schema.names == table.columns


def test_libraries_compute_with_names(table):
    """Which they do not with views of text."""
    of_runs = pyarrow.table(table).group_by("run").aggregate([("step" if "step" in table.columns else "bin", "count")])
    assert sorted(of_runs["run"].to_pylist()) == [run.name for run in RUNS]


def test_columns_outlive_what_they_came_from():
    column = pyarrow.table(epsiloscope.histogram(RUNS[0], per="run"))["count"]
    assert column.to_pylist() == [row["count"] for row in analyse("histogram", RUNS[0], "--per", "run")]


def test_one_estimate_answers_by_name():
    space = epsiloscope.estimate(RUNS[0], optimizer="adam")
    (row,) = analyse("estimate", RUNS[0], "--optimizer", "adam", "--combination", "extremes")
    assert (space.run, space.optimizer, space.lower, space.upper) == (row["run"], "adam", row["lower"], row["upper"])
    assert space.search_space == (row["search_lower"], row["search_upper"])
    with pytest.raises(ValueError, match="estimates: expected one"):
        _ = epsiloscope.estimate(RUNS).search_space


def test_optuna_searches_the_space():
    space = epsiloscope.estimate(RUNS[0], optimizer="adam")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: space.suggest(trial), n_trials=30)
    low, high = space.search_space
    (distribution,) = {trial.distributions["epsilon"] for trial in study.trials}
    assert (distribution.low, distribution.high, distribution.log) == (low, high, True)
    assert all(low <= trial.params["epsilon"] <= high for trial in study.trials)


def shown(result):
    """What a notebook gets of it."""
    formatter = DisplayFormatter(active_types=["text/plain", "text/html"])
    data, _ = formatter.format(result)
    assert data["text/plain"] == repr(result)
    return data["text/html"]


class Page(HTMLParser):
    """The elements of some HTML, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def test_notebooks_show_table_and_picture():
    html = shown(epsiloscope.estimate(RUNS))
    page = Page(html)
    assert {"[1e-4, 1e-1]", RUNS[0].name} <= set(page.texts)
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert "img" in dict(Page(shown(epsiloscope.histogram(RUNS[1], window="epoch"))).elements)
    bins = epsiloscope.histogram(RUNS)
    assert f"and {len(bins) - 60:,} more rows".replace(",", "\u202f") in shown(bins)


def test_pictures_are_those_of_plot(tmp_path):
    for options, figure in [({}, "search-space"), ({"per": "layer"}, "bounds")]:
        epsiloscope.estimate(RUNS[0], optimizer="adam", **options).plot(tmp_path / "ours.svg", theme="dark")
        per = ["--per", options["per"]] if options else []
        call("epsiloscope", "plot", RUNS[0], "--optimizer", "adam", "--figure", figure, *per, "--theme", "dark", "--out", tmp_path / "theirs.svg")
        assert (tmp_path / "ours.svg").read_text() == (tmp_path / "theirs.svg").read_text()
    epsiloscope.histogram(RUNS[0]).plot(tmp_path / "ours.PNG", scale=1)
    assert (tmp_path / "ours.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a name that ends in \.svg or \.png"):
        epsiloscope.histogram(RUNS[0]).plot(tmp_path / "ours.pdf")
    nothing = epsiloscope.candidates(RUNS[0])
    with pytest.raises(ValueError, match="nothing to draw"):
        nothing.svg()
    assert "img" not in dict(Page(shown(nothing)).elements)


@pytest.mark.parametrize("ask", [epsiloscope.estimate, epsiloscope.candidates])
def test_hostile_names_stay_text(ask, hostile_runs):
    result = ask(hostile_runs, per="tensor")
    page = Page(shown(result))
    assert {tag for tag, _ in page.elements} <= {"table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p", "img"}
    assert {key for _, attributes in page.elements for key in attributes} <= {"style", "src", "alt"}
    # Groups of digits are set apart by a narrow blank.
    text = "".join(page.texts).replace("\u202f", "")
    assert "<script" in text and all(character.isprintable() or character == "\n" for character in text)
    assert any("<script" in row["name"] for row in result.to_dicts() if row["name"] in hostile_names())


def damaged_run(folder):
    """A run one of whose parts is not what was written."""
    shutil.copytree(RUNS[0], folder)
    part = next((folder / "histograms").iterdir())
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    return folder


def test_one_damaged_run_never_stops_the_others(tmp_path):
    damaged = damaged_run(tmp_path / "damaged")
    with pytest.warns(RuntimeWarning) as warned:
        found = epsiloscope.histogram([RUNS[1], damaged, tmp_path / "absent", RUNS[2]])
    assert found.to_dicts() == analyse("histogram", *RUNS[1:])
    messages = sorted(str(warning.message) for warning in warned)
    assert len(messages) == 2 and "damaged" in messages[1] and "absent" in messages[0]
    assert {warning.filename for warning in warned} == {__file__}, "not where it was asked"
    with pytest.raises(ValueError, match="damaged/histograms/part-"):
        epsiloscope.histogram(damaged)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"optimizer": "adma"}, "optimizer: .*adma.*: expected .*adam"),
        ({"percentile": 98}, "percentile: 98: expected a number between 0.5 and 1"),
        ({"beta2": 1.0}, "beta2: 1: expected a number from 0 to below 1"),
        ({"at": "noon"}, "at: step .noon.: expected"),
        ({"per": "model"}, "per: scope .model.: expected"),
        ({"combination": "all"}, "combination: .*expected"),
        ({"from_": "weights"}, "from_: .weights.: expected moments or gradient"),
        ({"bootstrap": -1}, "cannot ask: .*-1"),
    ],
)
def test_options_that_are_none_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        epsiloscope.estimate(RUNS[0], **options)


def test_options_may_be_numbers_of_numpy():
    given = epsiloscope.estimate(RUNS[0], percentile=np.float32(0.75), bootstrap=np.int64(9), seed=np.uint8(2), at=np.int64(47))
    assert given.to_dicts() == epsiloscope.estimate(RUNS[0], percentile=0.75, bootstrap=9, seed=2, at=47).to_dicts()
    with pytest.raises(TypeError, match="expected a number or a text"):
        epsiloscope.estimate(RUNS[0], seed=object())
    with pytest.raises(ValueError, match="float values"):
        epsiloscope.estimate(RUNS[0], percentile=float("nan"))


@pytest.mark.filterwarnings("ignore:epsiloscope")
def test_what_is_not_there_is_said(tmp_path):
    for nothing in [tmp_path, tmp_path / "absent", str(tmp_path / "*"), [tmp_path / "a", tmp_path / "b"]]:
        with pytest.raises(FileNotFoundError, match="expected"):
            epsiloscope.estimate(nothing)
    with pytest.raises(ValueError, match="no runs: expected"):
        epsiloscope.estimate([])
    with pytest.raises(ValueError, match=r"cnn-training: .*step"):
        epsiloscope.estimate(DATA / "cnn-training", at=10**6)


def test_a_data_set_is_that_of_the_command_line(tmp_path):
    done = epsiloscope.analyze(DATA, tmp_path / "analysis", optimizer=["adam", "rmsprop"])
    assert {row["result"] for row in done.to_dicts()} == {"computed"} and len(done) == len(RUNS)
    assert {row["result"] for row in analyse("analyze", DATA, "--out", tmp_path / "analysis", "--optimizer", "adam,rmsprop")} == {"unchanged"}


def test_the_page_runs_as_it_stands(monkeypatch):
    """docs/python.md: what stands behind an expression of the section is its value."""
    section = (ROOT / "docs" / "python.md").read_text().split("\n## Results\n")[1].split("\n## ")[0]
    monkeypatch.chdir(ROOT)
    names, n_values = {}, 0
    for block in re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S):
        exec(block, names)
        for expression, value in re.findall(r"^(\S.*?)  +# ([('].*)$", block, re.M):
            assert repr(eval(expression, names)) == value, expression
            n_values += 1
    assert n_values == 3


def in_python(code):
    """What a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, RUNS)], env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\n")[:-1]


def test_nothing_is_started_before_the_first_question():
    threads = "len(os.listdir('/proc/self/task'))"
    printed = in_python(f"""
import os, sys
before = {threads}
import epsiloscope
print({threads} - before, sorted({{"torch", "polars", "pyarrow", "numpy"}} & set(sys.modules)))
""")
    assert printed == ["0 []"]


def test_processes_may_fork_before_and_after():
    """Children of a process that has asked are told that they cannot, and hang nowhere."""
    printed = in_python("""
import multiprocessing, sys, warnings
import epsiloscope

def ask(queue):
    try:
        queue.put(len(epsiloscope.histogram(sys.argv[1])) > 0)
    except RuntimeError as refusal:
        queue.put(str(refusal))

def in_child():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=ask, args=(queue,))
    child.start()
    answer = queue.get(timeout=30)
    child.join()
    return answer

warnings.simplefilter("ignore", DeprecationWarning)
print(in_child())
print(len(epsiloscope.histogram(sys.argv[1])) > 0)
print(in_child())
""")
    assert printed[:2] == ["True", "True"] and "was forked from one that has analysed runs" in printed[2]

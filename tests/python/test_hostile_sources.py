"""Names that attack, where they come from elsewhere: files that are imported, runs that are watched, spaces that are searched."""

import ast
import re
import unicodedata

import numpy as np
import pytest
import safetensors.numpy
from torch.utils.tensorboard import SummaryWriter

from hostile import NAMES, short
from runs import analyse, manifest
from test_hostile_names import HIDDEN, check_terminal, run, tree
from test_watch import Terminal

# What a folder can be called.
FOLDERS = [name for name in NAMES if "/" not in name and "\0" not in name and 0 < len(name.encode()) <= 200]
# Keys of zip archives and of safetensors are texts without NUL.
ARRAYS = sorted({name for name in short(NAMES) if name and "\0" not in name})


def gradients(name):
    return (np.arange(1, 9) * 10.0 ** -(len(name) % 7)).astype(np.float32)


def check_imported(out, names, said):
    for text in said:
        check_terminal(text)
    assert {tensor["name"] for tensor in manifest(out)["tensors"]} == set(names)
    table, errors = run("estimate", out, "--optimizer", "adam", "--per", "tensor")
    check_terminal(table)
    check_terminal(errors)
    assert {row["name"] for row in analyse("estimate", out, "--optimizer", "adam", "--per", "tensor")} == set(names)


@pytest.mark.parametrize("form", ["npz", "safetensors"])
def test_arrays_are_imported_by_name(form, tmp_path):
    """Names of arrays become names of tensors, and no paths."""
    arrays = {name: gradients(name) for name in ARRAYS}
    for step in range(1, 3):
        path = tmp_path / f"step-{step}.{form}"
        if form == "npz":
            np.savez(path, **arrays)
        else:
            safetensors.numpy.save_file(arrays, path)
    before = tree(tmp_path)
    said = run("import", form, tmp_path, "--out", tmp_path / "runs" / "r")
    check_imported(tmp_path / "runs" / "r", ARRAYS, said)
    written = tree(tmp_path).keys() - before.keys()
    assert all(tmp_path / "runs" == path or tmp_path / "runs" in path.parents for path in written)


def test_tags_are_imported_by_name(tmp_path):
    writer = SummaryWriter(str(tmp_path / "logs"))
    for name in ARRAYS:
        writer.add_histogram(name, gradients(name), 1)
    writer.close()
    said = run("import", "tensorboard", tmp_path / "logs", "--out", tmp_path / "r", "--every-step", "--include", "*")
    check_imported(tmp_path / "r", ARRAYS, said)


def test_folders_of_logs_become_runs_below_the_one_named(tmp_path):
    for index, folder in enumerate(FOLDERS[::2]):
        writer = SummaryWriter(str(tmp_path / "logs" / f"{index:03}" / folder))
        writer.add_histogram("w.grad", gradients(folder), 1)
        writer.close()
    out = tmp_path / "out"
    before = tree(tmp_path)
    for text in run("import", "tensorboard", tmp_path / "logs", "--out", out, "--every-step"):
        check_terminal(text)
    written = tree(tmp_path).keys() - before.keys()
    assert all(path == out or out in path.parents for path in written)
    assert len({path.parent for path in written if path.name == "run.json"}) == len(FOLDERS[::2])


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202egnp.exe", "a\nb"])
def test_what_cannot_be_imported_is_told_in_one_line(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "step-1.npz").write_bytes(b"PK no zip archive")
    safetensors.numpy.save_file({NAMES[-1]: gradients("")}, folder / "step-1.safetensors")
    (folder / "events.out.tfevents.1").write_bytes(b"no events")
    for kind in ("npz", "safetensors", "tensorboard"):
        printed, errors = run("import", kind, folder, "--out", tmp_path / "r", status=2)
        assert not printed and errors.count(b"\n") == 1
        check_terminal(errors)


# What the program writes to place, colour and hide, and nothing else.
OWN_CODES = re.compile(rb"\x1b\[(?:\d+;\d+H|[0-9;]*m|\?(?:1049|25|2026)[hl]|[0-2]?[JK])")


def check_screen(written, names):
    """No character of a name acts upon a terminal: but for the program's own codes, nothing hidden is written."""
    text = OWN_CODES.sub(b"", written).decode()
    hidden = {character for character in text if unicodedata.category(character) in HIDDEN} - set("\r\n")
    assert not hidden, f"{[f'U+{ord(character):04X}' for character in hidden]} in {text[:300]!r}"
    # Nor are codes of names among those that look like the program's own.
    assert written.count(b"\x1b[?1049h") == 1
    for name in names:
        for code in re.finditer(r"\x1b.+", name, re.S):
            assert OWN_CODES.fullmatch(code[0].encode()) or code[0].encode() not in written, code[0]


HIDING = [name for name in NAMES if any(unicodedata.category(character) in HIDDEN for character in name)]


def test_runs_are_watched(hostile_runs):
    """Names of runs, which titles show, and of tensors, which bounds are of."""
    of = {manifest(path.parent)["run"]: path.parent for path in hostile_runs.glob("**/run.json")}
    for name in ["all of them", *HIDING[::6]]:
        terminal = Terminal("watch", of[name], "--interval", "0.1")
        assert terminal.end() == 0
        check_screen(terminal.written, [name] if name in NAMES else NAMES)


def test_watching_where_no_run_is(tmp_path):
    """What is waited for is said by a path."""
    for name in ("\x1b[2J\x1b[H", "\u202egnp.exe", "\x9b31mred", "a\nb"):
        terminal = Terminal("watch", tmp_path / name, "--interval", "0.1")
        terminal.wait_for("waiting")
        terminal.type(b"q")
        terminal.end()
        check_screen(terminal.written, [name])


SEARCHED = ("--run", "echo val_loss={epsilon}", "--metric", "val_loss", "--strategy", "grid", "--points", "2", "--optimizer", "adam")


def test_spaces_of_runs_are_searched(hostile_runs, tmp_path):
    """By run, of all runs at once, and by data set; the folder of the search is called as the run is."""
    data_set = tmp_path / "set"
    run("analyze", hostile_runs, "--optimizer", "adam", "--out", data_set)
    paths = sorted(path.parent for path in hostile_runs.glob("**/run.json"))
    for index, space in enumerate([hostile_runs, data_set, *paths[::20]]):
        out = tmp_path / "out" / str(index) / (space.name if index > 1 else "all")
        before = tree(tmp_path)
        options = ("--space", space, *SEARCHED, "--out", out)
        for view in ("points", "trials", "summary"):
            for text in run("search", *options, "--view", view):
                check_terminal(text)
        written = tree(tmp_path).keys() - before.keys()
        assert all(path in out.parents or path == out or out in path.parents for path in written)


def test_what_trials_print_is_not_shown_raw(tmp_path):
    """The metric is found between whatever else a command prints; why trials fail is told without it."""
    for index, name in enumerate(name for name in HIDING[::6] if "\0" not in name):
        text = tmp_path / f"{index}.txt"
        text.write_bytes(name.encode())
        out = tmp_path / str(index)
        options = ("--space", "epsilon:1e-8..1e-1", "--metric", "val_loss", "--strategy", "grid", "--points", "2", "--out", out)
        for said in run("search", "--run", f"cat {text} >&2; cat {text}; echo; echo val_loss=1", *options):
            check_terminal(said)
        failing = ("--space", "epsilon:1e-8..1e-1", "--metric", "val_loss", "--strategy", "grid", "--points", "2")
        printed, errors = run("search", "--run", f"cat {text} >&2; exit 3", *failing, "--out", tmp_path / f"no-{index}", status=2)
        check_terminal(printed)
        check_terminal(errors)


def test_the_program_for_optuna_holds_names_as_text(tmp_path):
    """A command and a folder with quotes, line breaks and code in them are strings of the program that is written."""
    innocent = None
    for index, name in enumerate(["innocent", *FOLDERS[::7]]):
        out = tmp_path / str(index) / name
        command = name.replace("{", "{{").replace("}", "}}")
        options = ("--space", "epsilon:1e-8..1e-1", "--run", command, "--metric", "val_loss", "--strategy", "optuna", "--out", out)
        # For `python $(…)` the path is printed as it was typed.
        printed, errors = run("search", *options)
        assert printed.decode() == f"{out / 'search_optuna.py'}\n"
        check_terminal(errors)
        program = ast.parse((out / "search_optuna.py").read_text())
        strings = [node.value for node in ast.walk(program) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        assert any(name in text or command in text for text in strings)
        shape = [type(node).__name__ for node in ast.walk(program)]
        innocent = innocent or shape
        assert shape == innocent

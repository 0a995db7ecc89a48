"""Runs made of files that other people's writers wrote: PyTorch's and tensorboardX's event files, NumPy's npz, safetensors."""

import subprocess

import numpy as np
import pytest
import safetensors.numpy
import tensorboardX
import torch
from torch.utils.tensorboard import SummaryWriter

import epsiloscope
import oracle
from runs import ROOT, analyse, call, manifest, program, read

# The edges of add_histogram, added up as both writers do.
EDGES = [1e-12]
while EDGES[-1] * 1.1 < 1e20:
    EDGES.append(EDGES[-1] * 1.1)
EDGES = np.array(EDGES)

# Those whose critical ε follow from squares of gradients.
OF_SQUARES = ["adam", "radam", "rmsprop", "adagrad", "eadam"]
WRITERS = {"torch": SummaryWriter, "tensorboardX": tensorboardX.SummaryWriter}


def write(writer, gradients, first=1, steps=None, **options):
    """Histograms of every step, as a training loop logs them."""
    for step in range(next(iter(gradients.values())).shape[0]) if steps is None else steps:
        for tensor, rows in gradients.items():
            writer.add_histogram(f"{tensor}.grad", rows[step], first + step, **options)
    writer.close()


def run_import(kind, source, out, *options):
    """What the program says on both outputs, and its exit status."""
    command = [program("epsiloscope"), "import", kind, source, "--out", out, *options]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def imported(kind, source, out, *options):
    """A run that was imported without a word on standard error."""
    status, _, stderr = run_import(kind, source, out, *options)
    assert (status, stderr) == (0, "")
    return out


@pytest.fixture(scope="session", params=WRITERS)
def logged(request, folder, gradients):
    """The gradients of `every` as event files, and the run of those."""
    logs = folder / f"logs-{request.param}"
    write(WRITERS[request.param](str(logs)), gradients)
    options = ("--strip-suffix", ".grad", "--every-step", "--mode", "calibration", "--optimizer", "adam", "--steps-per-epoch", 4)
    return imported("tensorboard", logs, folder / f"from-{request.param}", *options)


def test_python_imports_as_the_command_line_does(gradients, tmp_path):
    with SummaryWriter(tmp_path / "logs") as writer:
        write(writer, gradients)
    asked = {"every_step": True, "optimizer": "adam", "lr": 0.01, "steps_per_epoch": 4, "labels": {"seed": 3}}
    (run,) = epsiloscope.import_tensorboard(tmp_path / "logs", tmp_path / "ours" / "run", **asked)
    options = ("--every-step", "--optimizer", "adam", "--lr", 0.01, "--steps-per-epoch", 4, "--label", "seed=3")
    theirs = imported("tensorboard", tmp_path / "logs", tmp_path / "theirs" / "run", *options)
    for told in ("mode", "optimizer", "gradient", "labels", "imported", "tensors", "quantities"):
        assert manifest(run)[told] == manifest(theirs)[told]
    assert epsiloscope.histogram(run).to_dicts() == epsiloscope.histogram(theirs).to_dicts()
    with pytest.raises(FileExistsError, match="holds a run already"):
        epsiloscope.import_tensorboard(tmp_path / "logs", run)
    with pytest.raises(ValueError, match="eps: -1: expected a number from 0"):
        epsiloscope.import_tensorboard(tmp_path / "logs", tmp_path / "other", eps=-1)
    with pytest.raises((FileNotFoundError, ValueError), match="absent"):
        epsiloscope.import_tensorboard(tmp_path / "absent", tmp_path / "other")


def test_counts_are_those_of_the_writer_at_each_of_its_edges(logged, gradients):
    """Spread over our bins, no element leaves the writer's bin; what is below the least edge counts as zero."""
    table = read(logged, "histograms").to_pydict()
    zeros = read(logged, "tensors").to_pylist()
    for tensor, rows in gradients.items():
        for step, row in enumerate(rows, start=1):
            values = row.astype(np.float64)
            of_step = [
                (bin, count)
                for name, at, bin, count in zip(table["tensor"], table["step"], table["bin"], table["count"])
                if (name, at) == (tensor, step)
            ]
            bins, counts = (np.array(column) for column in zip(*of_step))
            (health,) = [row for row in zeros if (row["tensor"], row["step"]) == (tensor, step)]
            assert health["zeros"] == np.sum((0 <= values) & (values < EDGES[0]))
            assert health["numel"] == len(values) == counts.sum() + health["zeros"]
            assert health["max"] == np.abs(row).max()
            np.testing.assert_allclose(health["sum_of_squares"], np.sum(values**2), rtol=1e-12)
            magnitudes = np.sort(np.abs(values[(values < 0) | (values >= EDGES[0])]))
            places = np.searchsorted(EDGES, magnitudes, side="right")
            lower = np.concatenate([[0], EDGES])[places]
            upper = np.concatenate([EDGES, [np.inf]])[places]
            ours = np.repeat(bins, counts)
            # Rank by rank, our bin meets the writer's.
            assert (10.0 ** (ours / 40) < upper).all() and (10.0 ** ((ours + 1) / 40) > lower * (1 - 1e-12)).all()


def test_an_imported_run_is_sound_and_every_command_takes_it(logged, every, tmp_path):
    """Nothing that reads runs needs to know where one comes from."""
    assert analyse("verify", logged) == []
    for command in (["estimate"], ["candidates"], ["drift"], ["spread"], ["inspect"], ["histogram"], ["diff", logged]):
        assert analyse(command[0], logged, *command[1:]) is not None, command
    call("epsiloscope", "report", logged, "--out", tmp_path / "report.html")
    call("epsiloscope", "export", logged, "--to", "optuna")
    call("epsiloscope", "analyze", logged, every, "--out", tmp_path / "analysis")
    (row,) = analyse("query", "SELECT count(*) AS n FROM estimates WHERE scope = 'run'", logged)
    assert row["n"] > 0
    text = call("epsiloscope", "inspect", logged).decode()
    assert "from tensorboard, every optimizer step; counted there in bins from 1e-12 on, each 1.1 times" in text
    verdict = call("epsiloscope", "estimate", logged).decode()
    assert "by histograms of gradients" in verdict and "keep their ranks" in verdict
    # Histograms of the same gradients, counted there and here.
    (row,) = [row for row in analyse("diff", every, logged, "--per", "run") if row["quantity"] == "gradient"]
    assert row["distance"] < 0.05


def exact_bounds(every, optimizer):
    """Replayed from every element."""
    rows = analyse("estimate", every, "--per", "tensor", "--optimizer", optimizer)
    assert {row["method"] for row in rows} == {"exact"}
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize("optimizer", OF_SQUARES)
def test_bounds_of_histograms_hold_the_exact_ones(logged, every, optimizer):
    """Of the event files and of the recorded histograms, for every tensor, both bounds."""
    exact = exact_bounds(every, optimizer)
    wide = {}
    for run, options in ((logged, []), (every, ["--from", "gradient"])):
        rows = analyse("estimate", run, "--per", "tensor", "--optimizer", optimizer, *options)
        assert {row["name"] for row in rows} == set(exact)
        for row in rows:
            assert row["method"] == "gradient"
            for side in ("lower", "upper"):
                low, bound, high = row[f"{side}_low"] or 0.0, exact[row["name"]][side], row[f"{side}_high"]
                assert low <= bound <= high, (row["name"], side)
                assert low <= row[side] <= high
            wide[run, row["name"]] = row
    degree = 2 if optimizer == "eadam" else 1
    for tensor, bound in exact.items():
        for run in (logged, every):
            found = wide[run, tensor]
            # What docs/import.md says of the upper bound.
            assert abs(np.log10(found["upper"] / bound["upper"])) < 0.3 * degree, tensor
            assert found["lower"] <= bound["lower"] * 1.2**degree, tensor


def test_what_needs_single_elements_is_refused(logged):
    """Moments of first order cannot be had from histograms."""
    command = [str(program("epsiloscope")), "estimate", str(logged), "--optimizer", "adabelief"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "histograms of gradients do not tell adabelief's moments" in done.stderr


def test_without_every_step_no_error_is_claimed(gradients, tmp_path):
    """Event files do not say whether steps in between were logged."""
    write(SummaryWriter(str(tmp_path / "logs")), gradients, first=0)
    run = imported("tensorboard", tmp_path / "logs", tmp_path / "run")
    assert manifest(run)["imported"]["step_offset"] == 1
    for row in analyse("estimate", run, "--per", "tensor"):
        assert row["lower"] > 0 and row["upper"] > 0
        assert [row[f"{side}_{end}"] for side in ("lower", "upper") for end in ("low", "high")] == [None] * 4
    assert "whether every optimizer step is there is not known" in call("epsiloscope", "estimate", run).decode()
    # Nor where steps are known to be missing.
    write(SummaryWriter(str(tmp_path / "thin")), gradients, first=10, steps=[0, 2, 6])
    thin = imported("tensorboard", tmp_path / "thin", tmp_path / "thin-run", "--every-step")
    assert manifest(thin)["cadence"] == {"every": 2, "ranges": [{"first": 10, "last": None}]}
    assert {row["lower_low"] for row in analyse("estimate", thin)} == {None}
    assert [row["finding"] for row in analyse("verify", thin)] == ["gap"]


@pytest.mark.parametrize("options", [{"bins": "auto"}, {"bins": np.linspace(-1, 1, 65)}, {"max_bins": 64}])
def test_bins_that_say_nothing_of_small_magnitudes_are_refused(gradients, tmp_path, options):
    """In a sentence, with the file, the tag and the step."""
    write(SummaryWriter(str(tmp_path / "logs")), {"fc1.weight": gradients["fc1.weight"][:1]}, **options)
    status, _, stderr = run_import("tensorboard", tmp_path / "logs", tmp_path / "run")
    assert status == 2 and stderr.count("\n") == 1
    assert "tfevents" in stderr and '"fc1.weight.grad" at step 1: ' in stderr and "default" in stderr
    assert not (tmp_path / "run").exists()


def test_weights_logged_beside_gradients_are_left_out(gradients, tmp_path):
    """Tags of a loop that logs both, with slashes."""
    writer = SummaryWriter(str(tmp_path / "logs"))
    rows = gradients["conv1.weight"]
    writer.add_histogram("conv1/weight", rows[0] + 1, 1)
    writer.add_histogram("conv1/weight/grad", rows[0], 1)
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    options = ("--strip-suffix", "/grad", "--separator", "/")
    status, stdout, stderr = run_import("tensorboard", tmp_path / "logs", tmp_path / "run", *options)
    assert status == 0 and "1 steps from 1 to 1 of 1 tensor" in stdout
    assert '1 tags without "grad" in their names are left out' in stderr
    assert [tensor["name"] for tensor in manifest(tmp_path / "run")["tensors"]] == ["conv1.weight"]


def test_a_live_writers_file_is_imported_as_far_as_it_is_whole(gradients, tmp_path):
    """Flushed, not closed, then cut off inside its last record; and with a byte changed."""
    writer = SummaryWriter(str(tmp_path / "logs"))
    for step, row in enumerate(gradients["conv1.weight"], start=1):
        writer.add_histogram("conv1.weight.grad", row, step)
    writer.flush()
    (events,) = (tmp_path / "logs").iterdir()
    whole = events.read_bytes()
    writer.close()
    n_steps = len(gradients["conv1.weight"])
    for name, content, steps, status, said in (
        ("live", whole, n_steps, 0, ""),
        ("cut", whole[:-100], n_steps - 1, 0, "the file ends inside a record"),
        ("changed", whole[: len(whole) // 2] + b"\xff\xfe" + whole[len(whole) // 2 + 2 :], n_steps - 1, 4, "does not match its checksum"),
    ):
        logs = tmp_path / name / "logs"
        logs.mkdir(parents=True)
        (logs / events.name).write_bytes(content)
        found, stdout, stderr = run_import("tensorboard", logs, tmp_path / name / "run")
        assert (found, f": {steps} steps" in stdout) == (status, True), (name, stdout, stderr)
        assert said in stderr and (not said or "at byte" in stderr and events.name in stderr)


def test_several_folders_are_several_runs_and_several_files_one(gradients, tmp_path):
    """A writer that goes on in the same folder; another seed beside it."""
    rows = {"conv1.weight": gradients["conv1.weight"]}
    write(SummaryWriter(str(tmp_path / "logs" / "seed-0")), rows, steps=range(5))
    # Goes on after step 3, and writes steps 4 and 5 again.
    write(SummaryWriter(str(tmp_path / "logs" / "seed-0"), purge_step=4, filename_suffix=".later"), rows, steps=range(3, 8))
    write(SummaryWriter(str(tmp_path / "logs" / "seed-1")), rows)
    imported("tensorboard", tmp_path / "logs", tmp_path / "runs", "--every-step")
    first, second = (analyse("histogram", tmp_path / "runs" / name) for name in ("seed-0", "seed-1"))
    for row in first + second:
        del row["run"]
    assert first == second


def dump(form, gradients, folder):
    """The gradients as files of their steps; the last form keeps all steps in one file."""
    folder.mkdir()
    arrays = [{name: rows[step] for name, rows in gradients.items()} for step in range(8)]
    for step, named in enumerate(arrays, start=1):
        if form == "npz":
            np.savez(folder / f"step-{step:06}.npz", **named)
        elif form == "compressed":
            np.savez_compressed(folder / f"{step}.npz", **named)
        elif form == "fortran":
            shaped = {name: np.asfortranarray(values.reshape(-1, 2)) for name, values in named.items()}
            np.savez(folder / f"{step}.npz", **shaped)
        elif form == "big-endian doubles":
            np.savez(folder / f"{step}.npz", **{name: values.astype(">f8") for name, values in named.items()})
        elif form == "safetensors":
            safetensors.numpy.save_file(named, folder / f"step{step}.safetensors")
    if form == "one file":
        np.savez(folder / "all.npz", **{f"{step}/{name}": values for step, named in enumerate(arrays, 1) for name, values in named.items()})


FORMS = ["npz", "compressed", "fortran", "big-endian doubles", "one file", "safetensors"]


@pytest.mark.parametrize("form", FORMS)
def test_dumped_gradients_are_estimated_as_recorded_ones(every, gradients, tmp_path, form):
    """To the last bit: bounds, histograms and magnitudes."""
    dump(form, gradients, tmp_path / "dumped")
    kind = "safetensors" if form == "safetensors" else "npz"
    run = imported(kind, tmp_path / "dumped", tmp_path / "every", "--mode", "calibration")
    assert analyse("verify", run) == []
    options = ("--per", "tensor", "--optimizer", "adam,adabelief,rmsprop-centered")
    compare = [name for name in analyse("estimate", run)[0] if name not in ("own_epsilon", "share_below_own")]
    found, expected = (analyse("estimate", of, *options) for of in (run, every))
    assert [[row[name] for name in compare] for row in found] == [[row[name] for name in compare] for row in expected]
    for table in ("histograms", "magnitudes", "tensors"):
        mine, theirs = (read(of, table).to_pandas() for of in (run, every))
        theirs = theirs[theirs["quantity"] == "gradient"].reset_index(drop=True)
        assert mine.equals(theirs), table


RATES = ("learning_rate", "matched_learning_rate", "rate_low", "rate_median", "rate_high", "sgd_rate")


def test_what_nobody_said_is_not_known(gradients, tmp_path):
    """No learning rate and no ε is made up, and what does not depend on them is answered."""
    dump("npz", gradients, tmp_path / "dumped")
    run = imported("npz", tmp_path / "dumped", tmp_path / "unknown")
    settings = manifest(run)["optimizer"]
    assert (settings["name"], settings["learning_rate"], settings["epsilon"]) == ("unknown", None, None)
    assert "unknown, lr unknown, ε unknown" in call("epsiloscope", "inspect", run).decode()
    (row,) = analyse("query", "SELECT learning_rate, epsilon FROM runs", run)
    assert list(row.values()) == [None, None]
    rows = analyse("candidates", run, "--optimizer", "adam")
    assert {row[name] for row in rows for name in RATES} == {None}
    assert rows[0]["role"] == "default" and all(row["regime"] and 0 <= row["share_below"] <= 1 for row in rows)
    assert "Its learning rate is not known: with --lr" in call("epsiloscope", "candidates", run).decode()
    asked = analyse("candidates", run, "--optimizer", "adam", "--lr", 1e-2)
    assert asked[0]["matched_learning_rate"] == 1e-2 and None not in {row[name] for row in asked for name in RATES}
    assert [row["share_below"] for row in asked] == [row["share_below"] for row in rows]
    call("epsiloscope", "analyze", run, "--out", tmp_path / "set")
    for space in (run, tmp_path / "set"):
        options = ("--space", space, "--optimizer", "adam", "--strategy", "grid", "--run", "echo loss=1", "--metric", "loss")
        found = analyse("search", *options, "--out", tmp_path / f"search-{space.name}")
        assert sorted(row["epsilon"] for row in found) == [row["epsilon"] for row in rows if row["role"] == "grid"]
        command = [program("epsiloscope"), "search", *options, "--param", "epsilon", "--param", "lr", "--out", tmp_path / "no"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and "--param lr: expected a range, as the learning rate" in done.stderr, done.stderr


def test_what_was_said_is_known(gradients, tmp_path):
    dump("npz", gradients, tmp_path / "dumped")
    run = imported("npz", tmp_path / "dumped", tmp_path / "known", "--optimizer", "adam", "--lr", 3e-4)
    settings = manifest(run)["optimizer"]
    assert (settings["name"], settings["learning_rate"], settings["epsilon"]) == ("adam", 3e-4, 1e-8)
    own = analyse("candidates", run, "--optimizer", "adam")[0]
    assert (own["role"], own["epsilon"], own["matched_learning_rate"]) == ("own", 1e-8, 3e-4)


def test_a_sample_of_dumped_gradients_is_the_recorders(sampled, gradients, tmp_path):
    """The same elements, and every element's critical ε by bin."""
    dump("npz", gradients, tmp_path / "dumped")
    run = imported("npz", tmp_path / "dumped", tmp_path / "run", "--magnitudes", 256, "--mode", "calibration")
    assert analyse("verify", run) == []
    for table in ("histograms", "magnitudes"):
        mine, theirs = (read(of, table).to_pandas() for of in (run, sampled))
        assert mine.equals(theirs), table


def test_half_precision_is_taken_as_the_floats_that_it_is(tmp_path):
    """Brain floats by PyTorch's own conversion."""
    values = torch.logspace(-30, 3, 500).to(torch.bfloat16)
    from safetensors.torch import save_file

    save_file({"1/fc.weight": values}, tmp_path / "gradients.safetensors")
    run = imported("safetensors", tmp_path / "gradients.safetensors", tmp_path / "run")
    assert read(run, "magnitudes")["magnitude"].to_pylist() == values.float().tolist()
    table = read(run, "histograms")
    counts = dict(zip(table["bin"].to_pylist(), table["count"].to_pylist()))
    assert counts == oracle.histogram(values.float().numpy())


def test_files_that_contradict_each_other_or_are_none_are_refused(tmp_path):
    """One line, with the file."""
    folder = tmp_path / "dumped"
    folder.mkdir()
    np.savez(folder / "1.npz", a=np.ones(3, np.float32))
    for content, said in (
        ({"a": np.ones(4, np.float32)}, "is of shape [4]: expected [3]"),
        ({"a": np.ones(3, np.int32)}, "type <i4: expected floats"),
        ({"a": np.array([object()])}, "type |O: expected floats"),
    ):
        np.savez(folder / "2.npz", **content)
        status, _, stderr = run_import("npz", folder, tmp_path / "run")
        assert status == 2 and stderr.count("\n") == 1 and "2.npz" in stderr and said in stderr, stderr
    (folder / "2.npz").write_bytes(b"PK no archive")
    status, _, stderr = run_import("npz", folder, tmp_path / "run")
    assert status == 2 and "2.npz: expected an npz file" in stderr
    (folder / "2.npz").rename(folder / "gradients.npz")
    np.savez(folder / "gradients.npz", a=np.ones(3, np.float32))
    assert "expected the step as digits" in run_import("npz", folder, tmp_path / "run")[2]
    assert "no such files" in run_import("safetensors", folder, tmp_path / "run")[2]

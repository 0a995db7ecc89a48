"""Runs to test with, each recorded once per session."""

import pytest

from hostile import write_runs
from runs import record, signed_gradients

CALIBRATION = ("calibrate", "--model", "cnn", "--steps", 8, "--seed", 0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where the runs of this session lie."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def every(folder):
    """Frozen weights; every element's gradient at every step."""
    return record(folder / "every", *CALIBRATION, "--magnitudes", "all")


@pytest.fixture(scope="session")
def sampled(folder):
    """The gradients of `every` again, of which 256 elements per tensor are kept, and every critical ε by bin.

    Readers of data sets would take its directory's name for a date.
    """
    return record(folder / "2026-01-31", *CALIBRATION, "--magnitudes", 256, "--snapshot-elements", "off")


@pytest.fixture(scope="session")
def snapshot_only(folder):
    """The calibration of `every` without any gradient's value; of critical ε, those of every element at the end."""
    return record(folder / "snapshot-only", *CALIBRATION, "--magnitudes", "none")


@pytest.fixture(scope="session")
def sample_only(folder):
    """As `sampled`, without the bins of critical ε."""
    return record(folder / "sample-only", *CALIBRATION, "--magnitudes", 256, "--critical-epsilon", "none")


@pytest.fixture(scope="session")
def trained(folder):
    """Weights that move; 256 elements per tensor. Its name must be escaped in the path of a data set."""
    return record(folder / "trained, 25 steps", "train", "--model", "cnn", "--steps", 25, "--magnitudes", 256)


@pytest.fixture(scope="session")
def decayed(folder):
    """The gradients of `every` with L2 weight decay, which Adam adds to them."""
    options = ("--magnitudes", "all", "--critical-epsilon", "none", "--weight-decay", "1e-2")
    return record(folder / "decayed", *CALIBRATION, *options)


@pytest.fixture(scope="session")
def decoupled(folder):
    """As `decayed`, by AdamW, which keeps weight decay apart from the gradient."""
    options = ("--magnitudes", "all", "--critical-epsilon", "none", "--weight-decay", "1e-2", "--optimizer", "adamw")
    return record(folder / "decoupled", *CALIBRATION, *options)


@pytest.fixture(scope="session")
def diverged(folder):
    """A learning rate that leaves nothing but NaN from the second step on."""
    options = ("--model", "cnn", "--steps", 6, "--magnitudes", 256, "--lr", "1e30")
    return record(folder / "diverged", "train", *options)


@pytest.fixture(scope="session")
def gradients(every):
    """Per tensor of `every`, the signed gradients [step, element] of all elements."""
    values, elements = signed_gradients(every)
    for tensor, indices in elements.items():
        assert indices.tolist() == list(range(len(indices))), f"{tensor}: not every element"
    return values


@pytest.fixture(scope="session")
def hostile_runs(tmp_path_factory):
    """A folder of runs whose names and tensors' names attack what shows them."""
    return write_runs(tmp_path_factory.mktemp("hostile"))

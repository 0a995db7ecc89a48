"""The way gradients are counted on a device, on the CPU: it has to give what the CPU's own way gives."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from epsiloscope.torch import record
from runs import manifest
from test_torch_recorder import faults_are_failures, one_thread  # noqa: F401
from training import rows, tiny, train

WAYS = ("host", "device")


def without_sums(table):
    """Rows but for their sums of squares, which are taken in another order."""
    return [{key: value for key, value in row.items() if key != "sum_of_squares"} for row in table]


@pytest.mark.parametrize("magnitudes", [20, "all", None])
def test_many_tensors_that_come_and_go(tmp_path, monkeypatch, magnitudes):
    """More tensors than are counted at once, in several chunks, with other ones missing at every step; layouts are forgotten."""
    limits = {"_rows.MAX_ROWS": 3, "_rows.MAX_REMEMBERED": 5000, "_device.MOST_ELEMENTS": 2000, "_device.FEW_ELEMENTS": 100}
    for name, limit in limits.items():
        monkeypatch.setattr(f"epsiloscope.torch.{name}", limit)
    sizes = [random.Random(0).choice([0, 1, 7, 90, 150, 1023, 1024, 5000]) for _ in range(140)]

    def recorded(count_on):
        parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
        optimizer = torch.optim.Adam(parameters)
        chosen, generator = random.Random(1), torch.Generator().manual_seed(2)
        options = {"critical_epsilon_every_step": True, "snapshot_every": 2, "snapshot_elements": True}
        with record(optimizer, tmp_path / count_on / "run", count_on=count_on, magnitudes=magnitudes, **options):
            for _ in range(4):
                for parameter in parameters:
                    gradient = torch.randn(parameter.shape, generator=generator) * 1e-3
                    parameter.grad = gradient if chosen.random() < 0.7 else None
                optimizer.step()
        return tmp_path / count_on / "run"

    host, device = map(recorded, WAYS)
    # The number of critical ε on either side of an edge may differ: their roots are rounded in two ways.
    for table in ("histograms", "magnitudes"):
        of = [[row for row in rows(run, table) if row["quantity"] == "gradient"] for run in (host, device)]
        assert of[0] == of[1] and (of[0] or magnitudes is None)
    of = [without_sums(row for row in rows(run, "tensors") if row["quantity"] == "gradient") for run in (host, device)]
    assert of[0] == of[1]
    of = [[row for row in rows(run, "magnitudes") if row["quantity"] != "gradient"] for run in (host, device)]
    assert [(row["step"], row["tensor"], row["element"]) for row in of[0]] == [
        (row["step"], row["tensor"], row["element"]) for row in of[1]
    ]
    found = [[row["magnitude"] for row in each] for each in of]
    assert found[0]
    np.testing.assert_allclose(found[1], found[0], rtol=2e-7)


@pytest.mark.filterwarnings("ignore:.*set_default_device")
def test_defaults_of_the_process_change_nothing(tmp_path):
    model = tiny().float()
    optimizer = torch.optim.Adam(model.parameters())
    parameters = list(model.parameters())
    gradients = [torch.randn(parameter.shape) for parameter in parameters]
    former = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), record(model, optimizer, tmp_path / "run", count_on="device", strict=True):
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient
            with torch.device("cpu"):
                optimizer.step()
                optimizer.step()
    finally:
        torch.set_default_dtype(former)
    assert manifest(tmp_path / "run")["totals"]["steps"] == 2


@pytest.mark.parametrize("numel", [64, 256])
@pytest.mark.parametrize("count_on", WAYS)
def test_a_resized_tensor_costs_its_steps_alone(tmp_path, count_on, numel):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    weight = model[0].weight
    whole = weight.data
    with record(model, optimizer, tmp_path / "run", count_on=count_on, magnitudes=128) as recorder:
        train(model, optimizer, 1)
        weight.data, weight.grad = torch.zeros(numel), None
        weight.grad = torch.ones(numel)
        with pytest.warns(RuntimeWarning, match=f"tensor 0.weight: {numel} gradient elements: expected 128"):
            optimizer.step()
        weight.grad, weight.data = None, whole
        train(model, optimizer, 2)
        assert recorder.health["dropped_steps"] == 1
        with warnings.catch_warnings(record=True):
            recorder.close()
    of_weight = [row for row in rows(tmp_path / "run", "tensors", "gradient") if row["tensor"] == "0.weight"]
    assert [(row["step"], row["numel"], row["nan"]) for row in of_weight] == [(1, 128, 0), (3, 128, 0), (4, 128, 0)]


@pytest.mark.parametrize("count_on", WAYS)
def test_moments_that_miss_a_step_give_no_critical_epsilon(tmp_path, monkeypatch, count_on):
    from epsiloscope.torch._parameters import Watched

    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    gradient = Watched.gradient
    with record(model, optimizer, tmp_path / "run", critical_epsilon=["adam"], count_on=count_on, snapshot_every=1) as recorder:
        train(model, optimizer, 1)
        assert "moments" in recorder.state_dict()
        with monkeypatch.context() as patched:
            patched.setattr(Watched, "gradient", lambda *_: 1 / 0)
            with pytest.warns(RuntimeWarning, match="step 2 is not recorded: ZeroDivisionError"):
                train(model, optimizer, 1)
        assert Watched.gradient is gradient
        train(model, optimizer, 1)
        assert recorder.state_dict() == {"step": 3}
        with warnings.catch_warnings(record=True):
            recorder.close()
    assert {row["step"] for row in rows(tmp_path / "run", "tensors", "gradient")} == {1, 3}
    assert {row["step"] for row in rows(tmp_path / "run", "tensors", "critical_epsilon.adam")} == {1}

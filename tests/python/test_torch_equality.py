"""The Python recorder against the libtorch one, the device's way of counting against the CPU's, and both against PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

import oracle
from epsiloscope.torch import calibrate, record
from runs import OPTIMIZERS, analyse, manifest
from test_torch_recorder import faults_are_failures, one_thread  # noqa: F401
from training import rows, table_of, tiny, train

TABLES = ("magnitudes", "histograms", "tensors")


def replayed(run, source, gradients, **options):
    """The gradients of another recording, recorded from Python."""
    shapes = {tensor["name"]: tensor["shape"] for tensor in manifest(source)["tensors"]}
    parameters = {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
    model = nn.Module()
    for name, parameter in parameters.items():
        model.register_parameter(name.replace(".", "_"), parameter)
    optimizer = torch.optim.Adam([{"params": list(parameters.values()), "param_names": list(parameters)}])
    with calibrate(optimizer, run, **options):
        for step in range(len(next(iter(gradients.values())))):
            for name, parameter in parameters.items():
                parameter.grad = torch.from_numpy(gradients[name][step]).reshape(shapes[name])
            optimizer.step()
    return run


@pytest.mark.parametrize("count_on", ["host", "device"])
def test_both_recorders_write_the_same(tmp_path, every, sampled, gradients, count_on):
    """Values, bins, counts, extremes and critical ε of the same gradients, row by row."""
    whole = replayed(tmp_path / "run", every, gradients, magnitudes="all", count_on=count_on)
    # The square root of the device's way may be off by one unit in the last place; the CPU's is not.
    quantity = None if count_on == "host" else "gradient"
    for table in TABLES:
        found, expected = table_of(whole, table, quantity), table_of(every, table, quantity)
        if count_on == "device" and table == "tensors":
            np.testing.assert_allclose(found["sum_of_squares"], expected["sum_of_squares"], rtol=1e-12)
            found, expected = (each.drop_columns(["sum_of_squares"]) for each in (found, expected))
        assert found.num_rows and found.cast(expected.schema).equals(expected), table
    for key in ("tensors", "quantities", "magnitudes", "critical_epsilon", "gradient", "mode", "signs", "cadence"):
        assert manifest(whole)[key] == manifest(every)[key], key
    part = replayed(tmp_path / "part", every, gradients, magnitudes=256, count_on=count_on)
    found, expected = (table_of(run, "magnitudes", "gradient") for run in (part, sampled))
    assert found.cast(expected.schema).equals(expected)


def test_bounds_are_those_of_a_line_by_line_computation(tmp_path):
    """`epsiloscope estimate` on a user's loop against the estimator in PyTorch on the gradients that the loop saw."""
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with record(model, optimizer, tmp_path / "run", magnitudes="all", snapshot_elements=True):
        gradients = train(model, optimizer, 20)
    for row in analyse("estimate", tmp_path / "run", "--optimizer", ",".join(OPTIMIZERS), "--combination", "extremes"):
        bounds = []
        for name in gradients[0]:
            stacked = np.stack([of[name].numpy().ravel() for of in gradients])
            bounds.append(oracle.bounds(oracle.statistics(row["optimizer"], stacked)))
        assert row["lower"] == pytest.approx(min(lower for lower, _ in bounds), rel=1e-6), row["optimizer"]
        assert row["upper"] == pytest.approx(max(upper for _, upper in bounds), rel=1e-6), row["optimizer"]


def extremes():
    """Floats of every kind: spread over all exponents, next to edges, subnormal, zero, infinite and no numbers."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(1 << 31), 1 << 31, (50_000,), generator=generator, dtype=torch.int64).to(torch.int32)
    edges = torch.tensor(np.concatenate([oracle.EDGES, -np.nextafter(oracle.EDGES, np.float32(0))]))
    special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45, -1e-45, 3.4e38, 1.17549435e-38])
    return torch.cat([bits.view(torch.float32), edges, special, torch.zeros(7)])


@pytest.mark.parametrize("max_rows", [8192, 3])
def test_the_device_s_way_counts_as_the_cpu_does(tmp_path, monkeypatch, max_rows):
    """Bit for bit, whether tensors are taken together or in pieces."""
    monkeypatch.setattr("epsiloscope.torch._rows.MAX_ROWS", max_rows)
    everything = extremes()
    parts = [everything, everything[:100], torch.zeros(0), torch.zeros(3), everything[200:201], everything[5:1300]]

    def recorded(count_on):
        parameters = [nn.Parameter(torch.zeros(part.shape)) for part in parts]
        optimizer = torch.optim.SGD(parameters, lr=0.0)
        run = tmp_path / count_on / "run"
        with record(optimizer, run, count_on=count_on, magnitudes=50):
            for scale in (1.0, 0.5):
                for parameter, part in zip(parameters, parts):
                    parameter.grad = part * scale
                optimizer.step()
        return run

    host, device = recorded("host"), recorded("device")
    for table in ("histograms", "magnitudes"):
        assert rows(device, table) == rows(host, table), table
    finite_sums = lambda run: [  # noqa: E731
        {key: value for key, value in row.items() if key != "sum_of_squares"} for row in rows(run, "tensors")
    ]
    assert finite_sums(device) == finite_sums(host)


@pytest.mark.parametrize(
    "names", [["adam", "amsgrad", "radam", "rmsprop", "rmsprop-centered"], ["adagrad", "adabelief", "adamomentum", "eadam", "yogi"]]
)
def test_moments_kept_on_a_device_are_those_kept_on_the_cpu(tmp_path, names):
    def recorded(count_on):
        model = tiny()
        optimizer = torch.optim.AdamW(model.parameters())
        run = tmp_path / count_on / "run"
        with record(model, optimizer, run, critical_epsilon=names, snapshot_elements=True, count_on=count_on) as recorder:
            train(model, optimizer, 5)
            state = recorder.state_dict()["moments"]
        return run, state

    (host, of_host), (device, of_device) = recorded("host"), recorded("device")
    assert of_host.keys() == of_device.keys() and len(of_host) == 4 * 4 * len(names)
    for key, value in of_host.items():
        assert torch.equal(value, of_device[key]), key
    found = [[row["magnitude"] for row in rows(run, "magnitudes") if row["quantity"] != "gradient"] for run in (host, device)]
    # A square root of PyTorch's may be off by one unit in the last place.
    np.testing.assert_allclose(found[1], found[0], rtol=2e-7)

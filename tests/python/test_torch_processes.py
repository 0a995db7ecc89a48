"""Several processes: two of them, over gloo, as DDP and FSDP2 run them; one run directory comes of it."""

import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from epsiloscope.torch import calibrate, record
from runs import call, manifest
from training import batches, is_finished_without_losses, loss_of, rows, train, values

WORLD = 2


def uneven(seed=0):
    """Tensors whose rows two processes cannot share evenly, one of a single element among them."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 1), nn.Linear(1, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes have recorded everything that is asked here, one run after the other: starting them takes seconds."""
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(_record_all, args=(folder,), nprocs=WORLD, join=True)
    return folder


def _record_all(rank, folder):
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    try:
        _replicated(rank, folder / "replicated")
        _sharded(rank, folder / "sharded", calibration=False)
        _sharded(rank, folder / "frozen", calibration=True)
    finally:
        dist.destroy_process_group()


def half(batch, rank):
    """The rows of a batch that one process has."""
    return tuple(part.chunk(WORLD)[rank] for part in batch)


def _replicated(rank, run):
    model = nn.parallel.DistributedDataParallel(uneven())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with record(model, optimizer, run, magnitudes="all"):
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(model, half(batch, rank)).backward()
            optimizer.step()


def _sharded(rank, run, calibration):
    from torch.distributed.fsdp import fully_shard

    model = uneven()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = calibrate if calibration else record
    with start(model, optimizer, run, magnitudes="all", snapshot_elements=True, if_exists="replace"):
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(model, half(batch, rank)).backward()
            optimizer.step()


def single(run, calibration=False):
    """What one process with whole batches gives."""
    model = uneven()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = calibrate if calibration else record
    with start(model, optimizer, run, magnitudes="all", snapshot_elements=True):
        train(model, optimizer, 3)
    return run


def assert_same_values(run, other):
    """The same elements with the same values, but for the order of additions."""
    for quantity in manifest(other)["quantities"]:
        found, expected = values(run, quantity), values(other, quantity)
        assert found.keys() == expected.keys()
        for key, (elements, numbers) in expected.items():
            np.testing.assert_array_equal(found[key][0], elements, err_msg=str(key))
            atol = 1e-5 * np.abs(numbers).max()
            np.testing.assert_allclose(found[key][1], numbers, rtol=1e-3, atol=atol, err_msg=str(key))


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    return single(tmp_path_factory.mktemp("single") / "run")


def test_replicated_gradients_are_recorded_once(folder, one_process):
    run = folder / "replicated"
    assert manifest(run)["ranks"] == {"world_size": 2, "gradients": "replicated"}
    assert [tensor["name"] for tensor in manifest(run)["tensors"]] == ["0.bias", "0.weight", "2.bias", "2.weight", "3.bias", "3.weight"]
    assert is_finished_without_losses(run) and not (run / "parts-r001.jsonl").exists()
    found, expected = values(run), values(one_process)
    assert found.keys() == expected.keys()
    for key, (_, numbers) in expected.items():
        np.testing.assert_allclose(found[key][1], numbers, rtol=1e-3, atol=1e-5 * np.abs(numbers).max())


def test_sharded_gradients_add_up(folder, one_process):
    run = folder / "sharded"
    assert manifest(run)["ranks"] == {"world_size": 2, "gradients": "sharded"}
    assert (run / "parts-r001.jsonl").exists()
    assert_same_values(run, one_process)
    numel = {}
    for row in rows(run, "tensors", "gradient"):
        numel[row["step"], row["tensor"]] = numel.get((row["step"], row["tensor"]), 0) + row["numel"]
    shapes = {tensor["name"]: int(np.prod(tensor["shape"])) for tensor in manifest(run)["tensors"]}
    assert numel == {(step, name): n for step in (1, 2, 3) for name, n in shapes.items()}
    call("epsiloscope", "verify", run)
    call("epsiloscope", "estimate", run)


def test_sharded_weights_are_frozen_on_every_rank(tmp_path, folder):
    run = folder / "frozen"
    assert manifest(run)["mode"] == "calibration"
    assert_same_values(run, single(tmp_path / "single", calibration=True))

"""Recording on a CUDA device. Needs the package, torch and a GPU, and nothing else of this repository:

    PYTHONPATH=crates/python/python python tests/python/cuda/test_cuda.py
"""

import json
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import epsiloscope.torch

try:
    import pytest

    pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
except ImportError:
    pytest = None

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def manifest(run):
    return json.loads((run / "run.json").read_text())


def parts(run, table):
    """The bytes of a table; runs of the same name that hold the same rows have the same."""
    return [path.read_bytes() for path in sorted((run / table).glob("*.parquet"))]


def extremes(n):
    """Floats of every kind: all exponents, subnormal, zero, infinite and no numbers, and long stretches of one value."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(1 << 31), 1 << 31, (n,), generator=generator, dtype=torch.int64).to(torch.int32)
    special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45, 3.4e38, 1.17549435e-38])
    usual = torch.randn(n, generator=generator) * 1e-4
    return torch.cat([bits.view(torch.float32), special, torch.zeros(n), usual])


def recorded(folder, gradients, count_on, **options):
    """A run of given gradients, over two steps."""
    parameters = [nn.Parameter(torch.zeros(gradient.shape, device=DEVICE)) for gradient in gradients]
    optimizer = torch.optim.Adam(parameters, lr=0.0)
    run = Path(folder) / count_on / "run"
    with epsiloscope.torch.record(optimizer, run, count_on=count_on, flush_secs=1e6, strict=True, **options) as recorder:
        for scale in (1.0, 0.37):
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient.to(DEVICE) * scale
            recorder.log(loss=torch.tensor(2.5, device=DEVICE))
            optimizer.step()
    return run


def test_counts_and_values_are_the_cpu_s_bit_for_bit():
    everything = extremes(3_000_000)
    gradients = [everything, everything[:1000].clone(), torch.zeros(0), torch.zeros(3)]
    gradients += [everything[7 * i : 7 * i + 50 * i].clone() for i in range(1, 90)]
    with tempfile.TemporaryDirectory() as folder:
        host, device = (recorded(folder, gradients, each, critical_epsilon=None) for each in ("host", "device"))
        for table in ("histograms", "magnitudes"):
            assert parts(host, table), table
            assert parts(host, table) == parts(device, table), table


def test_critical_epsilons_are_the_cpu_s():
    gradients = [torch.randn(300_000) * 1e-3, torch.randn(64, 64) * 1e-6, torch.randn(10)]
    with tempfile.TemporaryDirectory() as folder:
        host, device = (recorded(folder, gradients, each, magnitudes=None) for each in ("host", "device"))
        assert parts(host, "histograms") == parts(device, "histograms")


def train(model, optimizer, n_steps, recorder, scaler=None, dtype=None):
    inputs = torch.randn(64, 128, device=DEVICE)
    for _ in range(n_steps):
        optimizer.zero_grad()
        with torch.autocast(DEVICE, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            loss = model(inputs).square().mean()
        recorder.log(loss=loss, norm=loss.sqrt())
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 64)).to(DEVICE)


def check_training(**options):
    with tempfile.TemporaryDirectory() as folder:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), **options.pop("optimizer", {}))
        scaler = options.get("scaler")
        run = Path(folder) / "run"
        with epsiloscope.torch.record(model, optimizer, run, strict=True, **options) as recorder:
            train(model, optimizer, 6, recorder, scaler, torch.float16 if scaler else None)
        found = manifest(run)
    assert found["status"] == "finished" and found["totals"]["steps"] == 6
    assert found["losses"] == {"dropped_steps": 0, "faults": []}


def test_fused_and_foreach_optimizers():
    check_training(optimizer={"fused": True})
    check_training(optimizer={"foreach": True}, critical_epsilon_every_step=True, snapshot_elements=True)
    check_training(optimizer={"capturable": True}, magnitudes="all")
    check_training(critical_epsilon=["adam", "rmsprop-centered", "adabelief", "yogi"], snapshot_every=2)


def test_mixed_precision_with_a_scaler():
    for fused in (False, True):
        # The scale is too great at first: steps are skipped.
        scaler = torch.amp.GradScaler(DEVICE, init_scale=2.0**40)
        check_training(optimizer={"fused": fused}, scaler=scaler)


def test_nothing_waits_for_the_device_between_steps():
    """Reading a step back happens after the next one has begun; synchronising calls in between are errors."""
    if DEVICE != "cuda":
        return
    with tempfile.TemporaryDirectory() as folder:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters())
        with epsiloscope.torch.record(model, optimizer, Path(folder) / "run", strict=True) as recorder:
            train(model, optimizer, 3, recorder)
            torch.cuda.set_sync_debug_mode("error")
            try:
                train(model, optimizer, 3, recorder)
            finally:
                torch.cuda.set_sync_debug_mode("default")


#: What is recorded in each of the trainings that are compared.
WAYS = {
    "bare": None,
    "histograms": {"magnitudes": None},
    "histograms, 4096 values per tensor": {},
    "the same and critical epsilon": {"critical_epsilon_every_step": True},
}


def cost(folder, n_rounds=9, n_steps=10):
    """Prints what recording adds to the steps of a network of GPT-2's shape. It writes megabytes a step: mind the disk."""
    trainings, times = {}, {way: [] for way in WAYS}
    for way, options in WAYS.items():
        torch.manual_seed(0)
        layers = [nn.TransformerEncoderLayer(768, 12, 3072, 0.0, "gelu", batch_first=True) for _ in range(12)]
        model = nn.Sequential(*layers).to(DEVICE)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        recorder = options is not None and epsiloscope.torch.record(model, optimizer, Path(folder) / way, **options)
        trainings[way] = model, optimizer, recorder
    inputs = torch.randn(8, 512, 768, device=DEVICE)
    for _ in range(n_rounds + 1):
        for way, (model, optimizer, _) in trainings.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(n_steps):
                optimizer.zero_grad()
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    loss = model(inputs).square().mean()
                loss.backward()
                optimizer.step()
            torch.cuda.synchronize()
            times[way].append((time.perf_counter() - start) / n_steps)
    numel = sum(parameter.numel() for parameter in model.parameters())
    print(f"{numel:,} gradients on {torch.cuda.get_device_name()}, milliseconds per step, medians of {n_rounds} rounds:")
    for way, (_, _, recorder) in trainings.items():
        written = 0
        if recorder:
            recorder.close()
            written = sum(path.stat().st_size for path in (Path(folder) / way).rglob("*.parquet")) / recorder.steps
        print(f"{way:40} {1e3 * sorted(times[way][1:])[n_rounds // 2]:6.2f}, {written / 1e6:.2f} MB written")


if __name__ == "__main__":
    if DEVICE != "cuda":
        raise SystemExit("there is no CUDA device")
    for name, check in list(globals().items()):
        if name.startswith("test_"):
            check()
            print(name, "passed", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cost(folder)

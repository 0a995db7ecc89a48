"""Mixed precision: values without the loss scale, and steps that the scaler skips marked as overflows."""

import numpy as np
import pytest
import torch

from epsiloscope.torch import record
from runs import manifest
from test_torch_recorder import faults_are_failures, one_thread, recorded_equals  # noqa: F401
from training import batches, is_finished_without_losses, loss_of, rows, steps, tiny, values

SCALE = 1024.0


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscaled_by_hand", [False, True])
@pytest.mark.parametrize("count_on", ["host", "device"])
def test_values_are_unscaled_and_skipped_steps_are_marked(tmp_path, fused, unscaled_by_hand, count_on):
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=100)
    expected = []
    options = {"magnitudes": "all", "critical_epsilon_every_step": True, "count_on": count_on}
    with record(model, optimizer, tmp_path / "run", scaler=scaler, **options) as recorder:
        for index, batch in enumerate(batches(4)):
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            recorder.log(loss=loss)
            scaler.scale(loss).backward()
            if index == 1:
                model[0].weight.grad[0, 0] = float("inf")
            expected.append({name: p.grad.clone() / scaler.get_scale() for name, p in model.named_parameters()})
            if unscaled_by_hand:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
    assert is_finished_without_losses(tmp_path / "run")
    recorded_equals_but_for_infinity(tmp_path / "run", expected)
    of_steps = steps(tmp_path / "run")
    assert [row["overflow"] for row in of_steps.values()] == [False, True, False, False]
    assert [row["loss_scale"] for row in of_steps.values()] == [SCALE, SCALE, SCALE / 2, SCALE / 2]
    assert manifest(tmp_path / "run")["gradient"]["unscaled"] is True
    of_tensor = {
        (row["step"], row["tensor"]): row for row in rows(tmp_path / "run", "tensors", "gradient")
    }
    assert of_tensor[2, "0.weight"]["pos_inf"] == 1
    assert "step" not in vars(scaler)


def recorded_equals_but_for_infinity(run, expected):
    found = values(run)
    for step, of in enumerate(expected, 1):
        for name, gradient in of.items():
            wanted = gradient.numpy().ravel()
            elements, got = found[step, name]
            np.testing.assert_array_equal(got[np.isfinite(got)], wanted[elements][np.isfinite(got)])


def test_two_recorders_may_share_a_scaler(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
    models = [tiny(0), tiny(1)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    recorders = [record(*each, tmp_path / f"run-{i}", scaler=scaler) for i, each in enumerate(zip(models, optimizers))]

    def overflow(model, optimizer):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batches(1)[0])).backward()
        model[0].weight.grad[0, 0] = float("inf")
        scaler.step(optimizer)
        scaler.update()

    for each in zip(models, optimizers):
        overflow(*each)
    recorders[0].close()
    for each in zip(models, optimizers):
        overflow(*each)
    recorders[1].close()
    assert [[row["overflow"] for row in steps(tmp_path / f"run-{i}").values()] for i in (0, 1)] == [[True], [True, True]]


def test_a_scaler_that_is_off_changes_nothing(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    expected = []
    with record(model, optimizer, tmp_path / "run", scaler=scaler, magnitudes="all"):
        for batch in batches(2):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, batch)).backward()
            expected.append({name: p.grad.clone() for name, p in model.named_parameters()})
            scaler.step(optimizer)
            scaler.update()
    recorded_equals(tmp_path / "run", expected)
    assert manifest(tmp_path / "run")["gradient"]["unscaled"] is False
    assert {row["loss_scale"] for row in steps(tmp_path / "run").values()} == {None}

"""Recording where torch calls no hooks of optimizers, as torch 2.2 does once something was compiled: nothing is missed."""

import gc
import warnings
import weakref

import pytest
import torch

from epsiloscope.torch import _hooks, calibrate, record
from test_torch_recorder import recorded_equals
from training import batches, closure_of, is_finished_without_losses, loss_of, tiny, train


def bare(step):
    """A step without the wrapper that calls hooks."""
    hooking = torch.optim.Optimizer.profile_hook_step(step).__code__
    return step.__wrapped__ if step.__code__ is hooking else step


def drop_hooks(monkeypatch):
    """What torch 2.2 does to every class of optimizer at the first `torch.compile`."""
    for optimizer in (torch.optim.Adam, torch.optim.LBFGS):
        step = bare(optimizer.step)
        step.hooked = True
        monkeypatch.setattr(optimizer, "step", step)


@pytest.fixture(params=["before", "after"])
def drop(request, monkeypatch):
    """Hooks go before recording begins or, in such a torch, after its first step."""
    # Classes are given their hooks by the first optimizer of theirs.
    tiny_adam()
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])
    if request.param == "before":
        drop_hooks(monkeypatch)
        return lambda: None
    monkeypatch.setattr(_hooks, "_DROPS_HOOKS", True)
    return lambda: drop_hooks(monkeypatch)


def tiny_adam():
    model = tiny()
    return model, torch.optim.Adam(model.parameters())


def test_every_step_is_recorded_and_the_optimizer_left_as_it_was(drop, tmp_path):
    model, optimizer = tiny_adam()
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        gradients = train(model, optimizer, 1)
        drop()
        gradients += train(model, optimizer, 3)
    assert "step" not in optimizer.__dict__
    recorded_equals(tmp_path / "run", gradients)
    assert is_finished_without_losses(tmp_path / "run")
    train(model, optimizer, 2)
    other = tiny_adam()
    train(*other, 1)
    train(*other, 3)
    train(*other, 2)
    for one, two in zip(model.parameters(), other[0].parameters()):
        assert torch.equal(one, two)


@pytest.mark.parametrize("keyword", [True, False])
def test_closures(drop, keyword, tmp_path):
    model, _ = tiny_adam()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1)
    closure, expected = closure_of(model, optimizer)
    with record(model, optimizer, tmp_path / "run", magnitudes="all", critical_epsilon=None):
        for _ in range(3):
            assert (optimizer.step(closure=closure) if keyword else optimizer.step(closure)) > 0
            drop()
    recorded_equals(tmp_path / "run", expected)


@pytest.mark.parametrize("scheduled", ["before", "meanwhile"])
def test_schedulers_wrap_steps_too(drop, scheduled, tmp_path):
    """The one that is made last is outside; neither takes the other away."""
    model, optimizer = tiny_adam()
    make = lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    scheduler = make() if scheduled == "before" else None
    with warnings.catch_warnings():
        # A scheduler that does not find its wrapper warns of the order of calls.
        warnings.simplefilter("error")
        recorder = record(model, optimizer, tmp_path / "run", magnitudes="all")
        scheduler = scheduler or make()
        gradients = []
        for _ in range(3):
            gradients += train(model, optimizer, 1)
            scheduler.step()
            drop()
        recorder.close()
        train(model, optimizer, 1)
        scheduler.step()
    assert scheduler.get_last_lr() == [1e-3 / 16]
    recorded_equals(tmp_path / "run", gradients)


def test_a_step_that_fails_is_no_step_inside_the_next(drop, tmp_path):
    model, optimizer = tiny_adam()
    with record(model, optimizer, tmp_path / "run", magnitudes="all") as recorder:
        gradients = train(model, optimizer, 1)
        drop()
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        gradients += train(model, optimizer, 2)
    assert recorder.steps == 3
    recorded_equals(tmp_path / "run", gradients)


def test_calibration_freezes_weights(drop, tmp_path):
    model, optimizer = tiny_adam()
    before = [p.detach().clone() for p in model.parameters()]
    with calibrate(model, optimizer, tmp_path / "run"):
        train(model, optimizer, 1)
        drop()
        train(model, optimizer, 2)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before))
    assert not optimizer.state


def test_nothing_is_kept_alive(drop, tmp_path):
    model, optimizer = tiny_adam()
    with record(model, optimizer, tmp_path / "run"):
        train(model, optimizer, 1)
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None


def test_steps_that_cannot_be_seen_are_warned_of(tmp_path):
    model, optimizer = tiny_adam()
    recorder = record(model, optimizer, tmp_path / "run")
    loss_of(model, batches(1)[0]).backward()
    bare(torch.optim.Adam.step)(optimizer)
    with pytest.warns(RuntimeWarning, match="stepped unseen"):
        recorder.close()

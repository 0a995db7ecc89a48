"""The recorder beside a training loop: hooks around the optimizer's step."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from epsiloscope._native import Recording, RecordingError
from epsiloscope.torch._engines import Engines
from epsiloscope.torch._frozen import FrozenWeights
from epsiloscope.torch._hooks import attach
from epsiloscope.torch._nesting import Nesting
from epsiloscope.torch._optimizers import decay_rates, kind_of, lent, unwrapped
from epsiloscope.torch._parameters import watched
from epsiloscope.torch._request import PAPER, Options, request
from epsiloscope.torch._scaler import ScalerWatch, fused_scale, loss_scale
from epsiloscope.torch._shards import processes
from epsiloscope.torch._step import Step, held, is_same, number, numbers

__all__ = ["Recorder"]

#: Recorders that are neither closed nor forgotten.
_live: weakref.WeakSet[Recorder] = weakref.WeakSet()


class Recorder:
    """Records the gradients that enter an optimizer, step by step, until it is closed.

    Use it as a context manager, or call :meth:`close`. :func:`epsiloscope.torch.record` has the arguments.

    A process forked from this one, such as a worker of a ``DataLoader``, records nothing.
    """

    def __init__(
        self,
        model: nn.Module | None,
        optimizer: torch.optim.Optimizer,
        dir: str | os.PathLike[str],
        *,
        mode: Literal["monitoring", "calibration"] = "monitoring",
        scaler: Any = None,
        resume: int | Mapping[str, Any] | None = None,
        if_exists: Literal["error", "replace"] = "error",
        **options: Any,
    ) -> None:
        self._recording: Recording | None = None
        self._frozen: FrozenWeights | None = None
        self._handles: list[Any] = []
        self._scaler_watch: ScalerWatch | None = None
        self._process = os.getpid()
        scaler = scaler if scaler is not None else getattr(optimizer, "scaler", None)
        self._scaler = scaler
        self.optimizer = unwrapped(optimizer)
        self.dir = Path(dir).absolute()
        self._close_others()
        self._options = self._completed(Options(**options), mode)
        after_step = resume["step"] if isinstance(resume, Mapping) else resume
        self._steps = int(after_step or 0)
        self._epoch: int | None = None
        self._coming: dict[str, Any] = {}
        self._pending: Step | None = None
        self._nesting = Nesting()
        self._n_calls = 0
        self._n_faults = 0
        self._has_kept_all = True
        self._start(model, mode, after_step, resume, if_exists)
        if mode == "calibration":
            self._frozen = FrozenWeights(model, self.optimizer)
        self._attach()
        _live.add(self)

    # What users call.

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.interrupt()

    @property
    def steps(self) -> int:
        """Steps so far, those before a resumption and skipped ones included."""
        return self._steps

    @property
    def health(self) -> dict[str, Any]:
        """How the recording goes: steps, dropped steps, whether it has stopped, and the first fault."""
        recording = self._own()
        dropped, has_stopped, fault = recording.health() if recording else (0, recording is None, None)
        return {"steps": self._steps, "dropped_steps": dropped, "has_stopped": has_stopped, "fault": fault}

    def log(self, *, loss: Any = None, epoch: int | None = None, **scalars: Any) -> None:
        """Numbers of the coming step: call it before the optimizer's step.

        Tensors on a device are not waited for. An epoch, counted from 1, holds until another is named.
        """
        if epoch is not None:
            self._epoch = int(epoch)
        if loss is not None:
            self._coming["loss"] = held(loss)
        self._coming.setdefault("scalars", {}).update({name: held(value) for name, value in scalars.items()})

    def log_after(self, *, loss: Any = None, **scalars: Any) -> None:
        """Numbers of the last step, which were not known before it: its loss, a test accuracy."""
        pending, recording = self._pending, self._own()
        values = scalars if loss is None else {"loss": loss, **scalars}
        if pending is not None:
            pending.after.update({name: held(value) for name, value in values.items()})
        elif recording is not None and self._steps:
            self._guarded(lambda: recording.scalars(self._steps, numbers(values)), is_step=False)

    def snapshot(self) -> None:
        """Takes the critical ε of every element after the last step: at the end of each epoch, say."""
        if self._own() is not None and self._pending is not None:
            self._guarded(lambda: self._take_critical(self._options.snapshot_elements))
            self._guarded(self._engines.launch)

    def flush(self) -> None:
        """Waits until every step so far is on disk: worth calling where the training saves a checkpoint.

        Takes a snapshot of the last step, which none can be added to any more.
        """
        recording = self._own()
        if recording is not None:
            self.snapshot()
            self._guarded(self._settle)
            self._guarded(recording.flush, is_step=False)

    def state_dict(self) -> dict[str, Any]:
        """What ``resume`` takes, to be saved with a checkpoint: the step, and moments where the recorder keeps some."""
        if self._own() is None or not self._options.keeps_moments or not self._has_kept_all:
            return {"step": self._steps}
        return {"step": self._steps, "moments": self._engines.stored_moments()}

    def close(self) -> None:
        """Takes the last snapshot, writes what is left and marks the run finished."""
        self._end(is_finished=True)

    def interrupt(self) -> None:
        """Writes what is left and leaves the run marked as running, so that it can be resumed."""
        self._end(is_finished=False)

    def __getstate__(self) -> dict[str, Any]:
        """A recorder that travels to another process, with a data set say, does nothing there."""
        return {"dir": self.dir, "_steps": self._steps, "_process": -1, "_options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._recording, self._frozen, self._pending, self._scaler_watch = None, None, None, None
        self._handles, self._coming, self._epoch = [], {}, None

    # Beginning.

    def _completed(self, options: Options, mode: str) -> Options:
        """Options whose defaults depend on others."""
        changes: dict[str, Any] = {}
        if self._scaler is not None and self._scaler.is_enabled():
            changes["unscaled"] = True
        if mode == "calibration":
            changes["snapshot_elements"] = True
            if options.critical_epsilon == "own":
                changes["critical_epsilon"] = PAPER
        return replace(options, **changes)

    def _start(
        self,
        model: nn.Module | None,
        mode: str,
        after_step: int | None,
        resume: int | Mapping[str, Any] | None,
        if_exists: str,
    ) -> None:
        if if_exists not in ("error", "replace"):
            raise ValueError(f"if_exists: expected 'error' or 'replace', found {if_exists!r}")
        tensors = watched(model, self.optimizer)
        group_kinds = [(kind_of(self.optimizer, group), group) for group in self.optimizer.param_groups]
        self._known = {id(each.parameter) for each in tensors}
        together = processes([each.parameter for each in tensors])
        if if_exists == "replace" and after_step is None:
            if together.rank == 0:
                _remove_run(self.dir)
            if together.is_sharded:
                torch.distributed.barrier()
        self._tensors = []
        if together.rank is None:
            return
        stored = resume.get("moments") if isinstance(resume, Mapping) else None

        def text(keeping: set[str]) -> str:
            resumption = None if after_step is None else (after_step, stored is not None)
            return request(self._options, tensors, group_kinds, together, mode, keeping, resumption)

        decay = decay_rates(group_kinds[0][1])
        self._engines = Engines(str(self.dir), self._options, tensors, text, decay, stored)
        self._recording = self._engines.recording
        self._tensors = self._engines.tensors

    def _close_others(self) -> None:
        """A notebook's cell that runs again begins a new recording where it had left one."""
        for other in list(_live):
            if other._own() is not None and (other.optimizer is self.optimizer or other.dir == self.dir):
                other.close()

    def _attach(self) -> None:
        if self._recording is None and self._frozen is None:
            return
        # Compiled code calls the hooks, it does not look into them.
        disable = getattr(getattr(torch, "compiler", None), "disable", lambda hook: hook)
        self._handles = attach(self.optimizer, disable(_pre_hook(self)), disable(_post_hook(self)))
        self._n_states = len(self.optimizer.state)
        if self._recording is not None and self._scaler is not None and self._scaler.is_enabled():
            self._scaler_watch = ScalerWatch(self._scaler, self.optimizer, lambda: self._n_calls, self._on_skipped)

    # Around the optimizer's step.

    def _on_pre_step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if os.getpid() != self._process or self._nesting.is_nested() or _is_captured():
            return None
        self._n_calls += 1
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not callable(closure):
            self._guarded(self._before_step)
            return None
        has_run = False

        def evaluated() -> Any:
            # The gradients are there once the optimizer has called the closure.
            nonlocal has_run
            with torch.enable_grad():
                result = closure()
            if not has_run:
                has_run = True
                self._guarded(self._before_step)
            return result

        if "closure" in kwargs:
            return args, {**kwargs, "closure": evaluated}
        return (args[0], evaluated, *args[2:]), kwargs

    def _on_post_step(self) -> None:
        if os.getpid() != self._process or self._nesting.is_nested() or _is_captured():
            return
        self._nesting.end_step()
        if self._frozen is not None:
            self._frozen.put_back()
        if self._own() is not None and self._pending is not None:
            self._guarded(self._after_step)

    def _on_skipped(self) -> None:
        """A scaler has found infinities and has not stepped the optimizer."""
        if os.getpid() == self._process and self._own() is not None:
            self._n_calls += 1
            self._guarded(lambda: self._before_step(overflow=True))
            if self._pending is not None:
                self._guarded(self._engines.launch)

    def _before_step(self, overflow: bool = False) -> None:
        recording = self._own()
        if recording is None:
            return
        self._guarded(self._settle)
        self._steps += 1
        coming, self._coming = self._coming, {}
        is_counted = recording.includes(self._steps)
        grad_scale, found_inf = fused_scale(self.optimizer)
        has_overflowed: Any = overflow if found_inf is None else found_inf
        if is_counted or self._options.keeps_moments:
            self._take_gradients(grad_scale, is_counted, has_overflowed)
        self._pending = self._described(is_counted, coming, grad_scale, has_overflowed)

    def _take_gradients(self, grad_scale: Any, is_counted: bool, has_overflowed: Any) -> None:
        moves = self._options.keeps_moments and not bool(has_overflowed)
        inverse = None if grad_scale is None else grad_scale.double().reciprocal().float()
        gradients = []
        try:
            for index, tensor in self._tensors:
                gradient = tensor.gradient(inverse)
                if gradient is not None:
                    gradients.append((index, gradient))
            self._engines.take(gradients, is_counted, moves)
        except Exception:
            # Moments that lack a step are no one's.
            self._has_kept_all &= not moves
            raise
        if is_counted and not gradients:
            self._warn("no tensor has a gradient: nothing is recorded of this step")

    def _described(self, is_recorded: bool, coming: dict[str, Any], grad_scale: Any, overflow: Any) -> Step:
        groups = self.optimizer.param_groups
        rates = [group.get("lr") for group in groups]
        scalars = {
            f"learning_rate.{index}": held(rate)
            for index, rate in enumerate(rates)
            if index and rate is not None and not is_same(rate, rates[0])
        }
        scale = loss_scale(self._scaler)
        return Step(
            step=self._steps,
            is_recorded=is_recorded,
            time_micros=time.time_ns() // 1000,
            epoch=self._epoch,
            loss=coming.get("loss"),
            learning_rate=held(rates[0]),
            loss_scale=held(grad_scale if scale is None else scale),
            overflow=held(overflow),
            scalars={**scalars, **coming.get("scalars", {})},
        )

    def _after_step(self) -> None:
        snapshot_every = self._options.snapshot_every
        if snapshot_every and self._steps % snapshot_every == 0:
            self._take_critical(self._options.snapshot_elements)
        elif self._options.critical_epsilon_every_step and self._pending and self._pending.is_recorded:
            self._take_critical(elements=False)
        self._engines.launch()
        unknown = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) not in self._known
        ]
        if unknown:
            self._known.update(id(parameter) for parameter in unknown)
            self._warn(f"{len(unknown)} parameters joined the optimizer after recording began: they are not recorded")

    def _take_critical(self, elements: bool) -> None:
        """Takes what is known of critical ε after the last step, which is recorded then whether or not it is its turn."""
        if not self._engines.optimizers or self._pending is None:
            return
        if self._options.keeps_moments:
            if self._has_kept_all:
                self._engines.take_kept(elements)
                self._pending.is_recorded = True
            return
        own = [each for each in self._tensors if each[1].kind.moments == self._engines.optimizers[0]]
        moments = lent(self.optimizer, [tensor for _, tensor in own])
        known = [(index, each) for (index, _), each in zip(own, moments) if each is not None]
        if known:
            self._engines.take_lent(known, elements)
            self._pending.is_recorded = True

    def _settle(self) -> None:
        """Hands over the last step."""
        recording, pending = self._own(), self._pending
        if recording is None or pending is None:
            return
        self._pending = None
        if not pending.is_recorded:
            if pending.after:
                recording.scalars(pending.step, numbers(pending.after))
            return
        self._engines.settle()
        loss = pending.after.pop("loss", pending.loss)
        recording.end_step(
            pending.step,
            pending.time_micros,
            pending.epoch,
            number(loss),
            number(pending.learning_rate),
            number(pending.loss_scale),
            bool(number(pending.overflow)),
            numbers({**pending.scalars, **pending.after}),
        )

    # Ending.

    def _end(self, is_finished: bool) -> None:
        recording = self._own()
        has_seen_none = recording is not None and not self._n_calls and self._n_states < len(self.optimizer.state)
        self._detach()
        if recording is None:
            self._recording = None
            return
        if has_seen_none:
            self._warn("the optimizer has stepped unseen, past its own step(): nothing is recorded")
        if is_finished and self._pending is not None:
            self._guarded(lambda: self._take_critical(self._options.snapshot_elements))
        self._guarded(self._settle)
        self._recording = None
        try:
            if is_finished:
                losses = json.loads(recording.finish())
                if losses["dropped_steps"]:
                    self._warn(f"{losses['dropped_steps']} steps could not be kept: {'; '.join(losses['faults'])}")
            else:
                recording.interrupt()
        except Exception as fault:
            if self._options.strict:
                raise
            self._warn(str(fault))

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._process != os.getpid():
            return
        if self._scaler_watch is not None:
            self._scaler_watch.end()
            self._scaler_watch = None
        if self._frozen is not None:
            self._frozen.release()
            self._frozen = None
        _live.discard(self)

    # Faults.

    def _own(self) -> Recording | None:
        """The recording, in the process that it belongs to."""
        return self._recording if os.getpid() == self._process else None

    def _guarded(self, action: Callable[[], Any], is_step: bool = True) -> None:
        """Keeps faults from the training: they are counted, told once, and said in run.json."""
        try:
            with torch.no_grad():
                action()
        except Exception as fault:
            self._n_faults += 1
            recording = self._own()
            if is_step and recording is not None:
                self._pending = None
                self._engines.discard()
                recording.drop_step(f"{type(fault).__name__}: {fault}")
            if self._options.strict:
                raise RecordingError(f"step {self._steps}: {fault}") from fault
            if self._n_faults == 1:
                self._warn(f"step {self._steps} is not recorded: {type(fault).__name__}: {fault}")

    def _warn(self, message: str) -> None:
        try:
            warnings.warn(f"epsiloscope: {self.dir}: {message}", RuntimeWarning, stacklevel=3)
        except Warning:
            # Where warnings are errors, they must not end a training.
            logging.getLogger("epsiloscope").warning("%s: %s", self.dir, message)


def _pre_hook(recorder: Recorder) -> Callable[..., Any]:
    def epsiloscope_before_step(optimizer: Any, args: Any, kwargs: Any) -> Any:
        return recorder._on_pre_step(args, kwargs)

    return epsiloscope_before_step


def _post_hook(recorder: Recorder) -> Callable[..., Any]:
    def epsiloscope_after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        recorder._on_post_step()

    return epsiloscope_after_step


def _is_captured() -> bool:
    """Whether operations go into a graph, to be replayed past every hook, instead of being done."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _remove_run(dir: Path) -> None:
    """Removes a run, and nothing that is none."""
    if (dir / "run.json").is_file():
        shutil.rmtree(dir)


@atexit.register
def _interrupt_all() -> None:
    for recorder in list(_live):
        recorder.interrupt()

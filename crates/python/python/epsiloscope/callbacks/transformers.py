"""A callback for the ``Trainer`` of Hugging Face's transformers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from epsiloscope.torch import Recorder, record

__all__ = ["EpsiloscopeCallback"]


class EpsiloscopeCallback(TrainerCallback):  # type: ignore[misc]
    """Records the training of a ``Trainer``::

        trainer = Trainer(model, args, callbacks=[EpsiloscopeCallback("runs/r-1")], ...)

    A training that is resumed from a checkpoint goes on in the run of the directory, if there is one. ``options`` are those of
    :func:`epsiloscope.torch.record`.
    """

    def __init__(self, dir: str | os.PathLike[str], **options: Any) -> None:
        self._dir = Path(dir)
        self._options = options
        #: The recorder of the training under way.
        self.recorder: Recorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The optimizer is there."""
        options = {
            "accumulated_batches": args.gradient_accumulation_steps,
            "clipped": bool(args.max_grad_norm),
            **self._options,
        }
        if state.global_step > 0 and (self._dir / "run.json").exists():
            options.setdefault("resume", state.global_step)
        self.recorder = record(others["model"], others["optimizer"], self._dir, **options)

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Names the epoch, counted from 1."""
        if self.recorder is not None:
            self.recorder.log(epoch=int(state.epoch or 0) + 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        """Keeps what is logged, the mean loss and evaluations among it."""
        if self.recorder is not None and logs:
            numbers = {name: value for name, value in logs.items() if isinstance(value, (int, float))}
            self.recorder.log_after(loss=numbers.pop("loss", None), **numbers)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Takes the critical ε of every element."""
        if self.recorder is not None:
            self.recorder.snapshot()

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """A checkpoint loses no step before it."""
        if self.recorder is not None:
            self.recorder.flush()

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The run is finished."""
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None

"""A callback for the ``Trainer`` of Lightning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback  # type: ignore[no-redef,assignment]

from epsiloscope.torch import Recorder, record

__all__ = ["EpsiloscopeCallback"]


class EpsiloscopeCallback(Callback):  # type: ignore[misc]
    """Records the training of a ``Trainer``::

        trainer = Trainer(callbacks=[EpsiloscopeCallback("runs/r-1")])

    Of several optimizers each has a run of its own, ``runs/r-1-0`` and so on. A training that is resumed from a checkpoint
    goes on in its run. ``options`` are those of :func:`epsiloscope.torch.record`.
    """

    def __init__(self, dir: str | os.PathLike[str], **options: Any) -> None:
        self._dir = Path(dir)
        self._options = options
        self._resume: list[dict[str, Any]] = []
        #: The recorders of the training under way, one per optimizer.
        self.recorders: list[Recorder] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The optimizers are there."""
        options = {
            "accumulated_batches": trainer.accumulate_grad_batches,
            "clipped": bool(trainer.gradient_clip_val),
            "scaler": getattr(trainer.precision_plugin, "scaler", None),
            **self._options,
        }
        optimizers = trainer.optimizers
        for index, optimizer in enumerate(optimizers):
            dir = self._dir if len(optimizers) == 1 else self._dir.with_name(f"{self._dir.name}-{index}")
            resumed = {"resume": self._resume[index]} if index < len(self._resume) else {}
            self.recorders.append(record(pl_module, optimizer, dir, **{**options, **resumed}))
        self._resume = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Names the epoch, counted from 1."""
        for recorder in self.recorders:
            recorder.log(epoch=trainer.current_epoch + 1)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keeps the loss of the batch."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        for recorder in self.recorders:
            recorder.log_after(loss=loss)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Takes the critical ε of every element."""
        for recorder in self.recorders:
            recorder.snapshot()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The runs are finished."""
        for recorder in self.recorders:
            recorder.close()
        self.recorders = []

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The runs can be resumed."""
        for recorder in self.recorders:
            recorder.interrupt()
        self.recorders = []

    def state_dict(self) -> dict[str, Any]:
        """Goes into Lightning's checkpoints."""
        for recorder in self.recorders:
            recorder.flush()
        return {"recorders": [recorder.state_dict() for recorder in self.recorders]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes out of them."""
        self._resume = state_dict["recorders"]

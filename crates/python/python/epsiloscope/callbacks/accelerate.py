"""Recording in a loop that uses Hugging Face's Accelerate."""

from __future__ import annotations

import os
from typing import Any

from epsiloscope import torch as _torch
from epsiloscope.torch import Recorder

__all__ = ["record"]


def record(accelerator: Any, model: Any, optimizer: Any, dir: str | os.PathLike[str], **options: Any) -> Recorder:
    """Records a loop whose model and optimizer come from ``accelerator.prepare``::

        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        with record(accelerator, model, optimizer, "runs/r-1") as recorder:
            train()

    Its scaler and its gradient accumulation are taken into account; ``options`` are those of
    :func:`epsiloscope.torch.record`.
    """
    options.setdefault("scaler", accelerator.scaler)
    options.setdefault("accumulated_batches", accelerator.gradient_accumulation_steps)
    return _torch.record(model, optimizer, dir, **options)

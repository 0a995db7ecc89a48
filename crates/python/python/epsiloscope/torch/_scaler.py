"""What a ``GradScaler`` does to an optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["ScalerWatch", "fused_scale", "loss_scale"]


def loss_scale(scaler: Any) -> torch.Tensor | float | None:
    """The present scale, without waiting for a device; ``None`` for a scaler that is off."""
    if scaler is None or not scaler.is_enabled():
        return None
    scale = getattr(scaler, "_scale", None)
    return scale if isinstance(scale, torch.Tensor) else float(scaler.get_scale())


def fused_scale(optimizer: torch.optim.Optimizer) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """What a scaler leaves to a fused optimizer: the scale that gradients still carry, and whether they overflowed."""
    return getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)


class ScalerWatch:
    """Tells of the steps that a scaler skips, which no hook of the optimizer sees."""

    def __init__(
        self,
        scaler: Any,
        optimizer: torch.optim.Optimizer,
        n_steps: Callable[[], int],
        on_skipped: Callable[[], None],
    ) -> None:
        self._scaler = scaler
        self._former = scaler.__dict__.get("step")
        self._has_ended = False
        step = scaler.step

        def watched(stepped: Any, *args: Any, **kwargs: Any) -> Any:
            before = n_steps()
            result = step(stepped, *args, **kwargs)
            if not self._has_ended and _is(stepped, optimizer) and n_steps() == before:
                on_skipped()
            return result

        self._watched = watched
        scaler.step = watched

    def end(self) -> None:
        """Leaves the scaler as it was; if others watch it since, they go on through a step that does nothing more."""
        self._has_ended = True
        if self._scaler.__dict__.get("step") is not self._watched:
            return
        if self._former is None:
            del self._scaler.step
        else:
            self._scaler.step = self._former


def _is(stepped: Any, optimizer: torch.optim.Optimizer) -> bool:
    return stepped is optimizer or getattr(stepped, "optimizer", None) is optimizer

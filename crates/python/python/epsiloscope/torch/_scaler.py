"""What a ``GradScaler`` does to an optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from epsiloscope.torch._hooks import WrappedStep

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
        n_before = 0

        def before(scaler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal n_before
            n_before = n_steps()

        def after(scaler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if _is(kwargs.get("optimizer", args[1] if len(args) > 1 else None), optimizer) and n_steps() == n_before:
                on_skipped()

        self._wrapped = WrappedStep(scaler, before, after)

    def end(self) -> None:
        """Leaves the scaler as it was; if others watch it since, they go on through a step that does nothing more."""
        self._wrapped.remove()


def _is(stepped: Any, optimizer: torch.optim.Optimizer) -> bool:
    return stepped is optimizer or getattr(stepped, "optimizer", None) is optimizer

"""What is known of a step beside its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from epsiloscope.torch._memory import send

__all__ = ["Step", "held", "is_same", "number", "numbers"]


@dataclass
class Step:
    """A step that has not been handed over: it may still get a snapshot and numbers."""

    step: int
    #: Whether anything of it is to be recorded: a step out of turn is if a snapshot is taken of it.
    is_recorded: bool
    time_micros: int
    epoch: int | None = None
    loss: Any = None
    learning_rate: Any = None
    loss_scale: Any = None
    overflow: Any = False
    scalars: dict[str, Any] = field(default_factory=dict)
    #: Numbers that were known after it only, the loss among them; kept of steps out of turn, too.
    after: dict[str, Any] = field(default_factory=dict)


def held(value: Any) -> Any:
    """A number as it is now, without waiting for the device that it may be on, now or for what is done there later."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    return send(value) if value.is_cuda else value.clone()


def number(value: Any) -> float | None:
    return None if value is None else float(value)


def numbers(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in values.items()]


def is_same(rate: Any, other: Any) -> bool:
    """Whether two learning rates are the same, as far as that can be told without waiting for a device."""
    return rate is other or (not isinstance(rate, torch.Tensor) and rate == other)

"""What is known of a step beside its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

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


class _Coming(NamedTuple):
    """A number that is on its way from a device."""

    number: torch.Tensor
    arrival: torch.cuda.Event

    def __float__(self) -> float:
        self.arrival.synchronize()
        return float(self.number)


def held(value: Any) -> Any:
    """A number as it is now, without waiting for the device that it may be on, now or for what is done there later."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    if not value.is_cuda:
        return value.clone()
    number = torch.empty(value.shape, dtype=value.dtype, device="cpu", pin_memory=True)
    number.copy_(value, non_blocking=True)
    arrival = torch.cuda.Event()
    arrival.record(torch.cuda.current_stream(value.device))
    return _Coming(number, arrival)


def number(value: Any) -> float | None:
    return None if value is None else float(value)


def numbers(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in values.items()]


def is_same(rate: Any, other: Any) -> bool:
    """Whether two learning rates are the same, as far as that can be told without waiting for a device."""
    return rate is other or (not isinstance(rate, torch.Tensor) and rate == other)

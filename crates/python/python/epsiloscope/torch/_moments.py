"""Moments and critical ε as torch operations, for tensors that are not on the CPU.

Operations and their order are those of the optimizers' code in PyTorch, and those of ``epsiloscope_moments`` on the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from epsiloscope.torch._memory import View, view
from epsiloscope.torch._optimizers import Lent

__all__ = ["KeptMoments", "StoredMoments", "critical_epsilon", "lent_critical_epsilon"]

#: Where Yogi's second moment begins.
_YOGI_INITIAL = 1e-6
_IN_PLACE = ("adabelief", "adamomentum", "eadam")
_WITH_FIRST = ("adabelief", "adamomentum", "rmsprop-centered")


class StoredMoments(NamedTuple):
    """Steps, then first, second and greatest second moments; without elements where the optimizer has none."""

    steps: int
    first: torch.Tensor
    second: torch.Tensor
    greatest: torch.Tensor

    def views(self) -> tuple[int, View, View, View]:
        """Steps, and where the moments lie."""
        return self.steps, view(self.first), view(self.second), view(self.greatest)


class KeptMoments:
    """The moments of one optimizer over the elements of one tensor, flat, where the tensor is."""

    def __init__(self, optimizer: str, beta1: float, beta2: float, numel: int, device: torch.device) -> None:
        def zeros(wanted: bool) -> torch.Tensor:
            return torch.zeros(numel if wanted else 0, dtype=torch.float32, device=device)

        self.optimizer = optimizer
        self.beta1, self.beta2 = beta1, beta2
        #: As a tensor: the fused multiply-add takes no other factor here.
        self.beta1_rest = torch.tensor(1 - beta1, dtype=torch.float32, device=device)
        self.steps = 0
        self.first = zeros(optimizer in _WITH_FIRST)
        self.second = zeros(True)
        self.greatest = zeros(optimizer == "amsgrad")
        if optimizer == "yogi":
            self.second.fill_(_YOGI_INITIAL)

    def restore(self, stored: StoredMoments) -> None:
        """Goes on with moments as they were."""
        self.steps = stored.steps
        for own, given in zip((self.first, self.second, self.greatest), stored[1:]):
            own.copy_(given)

    def stored(self) -> StoredMoments:
        """A copy on the CPU."""
        first, second, greatest = (part.cpu().clone() for part in (self.first, self.second, self.greatest))
        return StoredMoments(self.steps, first, second, greatest)

    def update(self, gradient: torch.Tensor) -> None:
        """Takes the flat gradient of a step."""
        optimizer = self.optimizer
        if optimizer == "adagrad":
            self.second.addcmul_(gradient, gradient)
        elif optimizer == "yogi":
            squares = gradient * gradient
            signs = (self.second - squares).sign()
            self.second.addcmul_(signs * -(1 - self.beta2), squares)
        elif optimizer == "adabelief":
            self._mean(gradient)
            self._square(gradient - self.first)
        elif optimizer == "adamomentum":
            self._mean(gradient)
            self._square(self.first)
        else:
            self._square(gradient)
        if optimizer == "amsgrad":
            self.greatest = torch.maximum(self.greatest, self.second)
        elif optimizer == "rmsprop-centered":
            self.first.lerp_(gradient, 1 - self.beta2)
        self.steps += 1

    def critical_epsilon(self) -> torch.Tensor | None:
        """Of every element after the steps taken so far; ``None`` before the first."""
        if self.steps == 0:
            return None
        return critical_epsilon(self.optimizer, self.beta2, self.steps, self.first, self.second, self.greatest)

    def _square(self, values: torch.Tensor) -> None:
        self.second.mul_(self.beta2).addcmul_(values * (1 - self.beta2), values)

    def _mean(self, gradient: torch.Tensor) -> None:
        self.first.mul_(self.beta1).addcmul_(gradient, self.beta1_rest)


def critical_epsilon(
    optimizer: str,
    beta2: float,
    steps: int,
    first: torch.Tensor | None,
    second: torch.Tensor,
    greatest: torch.Tensor | None,
) -> torch.Tensor:
    """The ε at which ε's own share of the denominator equals the gradient's, element by element."""
    # A tensor, because dividing by a number multiplies by its reciprocal on some devices.
    bias = torch.full((), 1 - beta2**steps, dtype=second.dtype, device=second.device)
    if optimizer in ("adam", "yogi"):
        return (second / bias).sqrt()
    if optimizer == "amsgrad" and greatest is not None:
        return (greatest / bias).sqrt()
    if optimizer in ("radam", "rmsprop", "adagrad"):
        return second.sqrt()
    if optimizer == "rmsprop-centered" and first is not None:
        return second.addcmul(-first, first).sqrt()
    if optimizer in _IN_PLACE:
        return second * (1 - beta2) / bias
    raise ValueError(f"no critical epsilon of {optimizer!r} from these moments")


def lent_critical_epsilon(lent: Lent) -> torch.Tensor:
    """The same from moments that an optimizer keeps; ε that it has added to them is taken out again."""
    name = lent.kind.moments or lent.kind.name
    values = critical_epsilon(name, lent.beta2, lent.steps, lent.first, lent.second, lent.greatest)
    return (values - lent.epsilon).clamp_(min=0) if lent.kind.adds_epsilon else values

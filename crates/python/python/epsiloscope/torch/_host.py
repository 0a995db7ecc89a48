"""Counting on the CPU: the extension reads gradients where they lie."""

from __future__ import annotations

import torch

from epsiloscope._native import Recording
from epsiloscope.torch._memory import view
from epsiloscope.torch._moments import lent_critical_epsilon
from epsiloscope.torch._optimizers import Lent

__all__ = ["HostEngine"]


class HostEngine:
    """Counts tensors on the CPU; those elsewhere are copied."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def take(self, gradients: list[tuple[int, torch.Tensor]], counted: bool, moments: bool) -> None:
        """Takes gradients of tensors by their indices."""
        tensors = [tensor for tensor, _ in gradients]
        # Named, so that copies live until they have been read.
        values = [gradient if gradient.is_cpu else gradient.cpu() for _, gradient in gradients]
        self._recording.gradients(tensors, list(map(view, values)), counted=counted, moments=moments)

    def take_kept(self, elements: bool) -> None:
        """Takes the critical ε that follow from the moments kept by the extension."""
        self._recording.critical_kept(elements)

    def take_lent(self, lent: list[tuple[int, Lent]], elements: bool) -> None:
        """Takes the critical ε that follow from moments which the optimizer keeps."""
        given = []
        # Copies must live until they have been read.
        alive = []
        for tensor, each in lent:
            if each.kind.adds_epsilon:
                values = lent_critical_epsilon(each).cpu()
                self._recording.critical_values(tensor, 0, view(values), elements)
                continue
            moments = [None if part is None else part.cpu() for part in (each.first, each.second, each.greatest)]
            alive.append(moments)
            views = [None if part is None else view(part) for part in moments]
            given.append((tensor, 0, each.steps, each.beta2, views))
        self._recording.critical_lent(given, elements)

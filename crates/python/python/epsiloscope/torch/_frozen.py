"""Weights that stay what they are while someone's own loop trains on."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import nn

from epsiloscope.torch._shards import local

__all__ = ["FrozenWeights"]


class FrozenWeights:
    """Holds a model's parameters at their present values, for a calibration inside a loop that steps its optimizer.

    The optimizer begins anew, as the method wants it, and gets its state back at the end; so do buffers, such as the running
    means of batch normalisation. Costs as much memory as the parameters and the optimizer's state.
    """

    def __init__(self, model: nn.Module | None, optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._optimizer = optimizer
        self._state = optimizer.state
        optimizer.state = defaultdict(dict)
        self._parameters = parameters
        self._buffers = [] if model is None else [local(buffer) for buffer in model.buffers()]
        with torch.no_grad():
            self._held_weights = [weight.clone() for weight in self._weights()]
            self._held_buffers = [buffer.clone() for buffer in self._buffers]

    def _weights(self) -> list[torch.Tensor]:
        """Where they are now: FSDP2 of torch 2.9 moves shards that it pads when the model is called for the first time."""
        return [local(parameter.detach()) for parameter in self._parameters]

    @torch.no_grad()
    def put_back(self) -> None:
        """Undoes what the optimizer's step did to the parameters, bit for bit."""
        if self._parameters:
            torch._foreach_copy_(self._weights(), self._held_weights)

    @torch.no_grad()
    def release(self) -> None:
        """Leaves everything as it was before."""
        self.put_back()
        for buffer, held in zip(self._buffers, self._held_buffers):
            buffer.copy_(held)
        self._optimizer.state = self._state

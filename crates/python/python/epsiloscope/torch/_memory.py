"""How tensors and the extension see each other's memory, and how tensors come to where the extension sees them."""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["Coming", "View", "from_bytes", "send", "view"]

#: An address, and how many numbers lie there.
View = tuple[int, int]


def view(tensor: torch.Tensor) -> View:
    """Where the elements of a contiguous tensor on the CPU lie, and how many they are."""
    return tensor.data_ptr(), tensor.numel()


def from_bytes(numbers: bytes, dtype: torch.dtype) -> torch.Tensor:
    """Numbers that the extension has copied."""
    return torch.frombuffer(bytearray(numbers), dtype=dtype) if numbers else torch.empty(0, dtype=dtype)


class Coming(NamedTuple):
    """A tensor that is on the CPU, or on its way there."""

    tensor: torch.Tensor
    arrival: torch.cuda.Event | None

    def arrived(self) -> torch.Tensor:
        """The tensor, once it is there."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.tensor

    def __float__(self) -> float:
        return float(self.arrived())


def send(tensor: torch.Tensor) -> Coming:
    """Sends a copy from a GPU without waiting for what is done there later; from elsewhere it is there at once."""
    if not tensor.is_cuda:
        return Coming(tensor.cpu(), None)
    there = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
    there.copy_(tensor, non_blocking=True)
    arrival = torch.cuda.Event()
    arrival.record(torch.cuda.current_stream(tensor.device))
    return Coming(there, arrival)

"""How tensors and the extension see each other's memory."""

from __future__ import annotations

import torch

__all__ = ["View", "from_bytes", "view"]

#: An address, and how many numbers lie there.
View = tuple[int, int]


def view(tensor: torch.Tensor) -> View:
    """Where the elements of a contiguous tensor on the CPU lie, and how many they are."""
    return tensor.data_ptr(), tensor.numel()


def from_bytes(numbers: bytes, dtype: torch.dtype) -> torch.Tensor:
    """Numbers that the extension has copied."""
    return torch.frombuffer(bytearray(numbers), dtype=dtype) if numbers else torch.empty(0, dtype=dtype)

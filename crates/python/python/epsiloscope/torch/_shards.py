"""What this process has of a tensor that several processes share (``DTensor``: FSDP2, tensor parallel)."""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

import torch

__all__ = ["Part", "Processes", "is_distributed", "local", "part_of", "processes"]


class Part(NamedTuple):
    """A contiguous run of the elements of a whole."""

    shape: tuple[int, ...]
    #: The shape of the whole; ``None`` where this process has all of it.
    whole: tuple[int, ...] | None
    #: The first element in the whole, flattened.
    offset: int


class Processes(NamedTuple):
    """The processes that record together; ``rank`` is ``None`` in one that records nothing."""

    rank: int | None
    world_size: int
    is_sharded: bool


def is_distributed(tensor: Any) -> bool:
    """Whether a tensor is a ``DTensor``, in whichever module this version of torch has it."""
    return hasattr(tensor, "placements") and hasattr(tensor, "to_local")


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if is_distributed(tensor) else tensor  # type: ignore[attr-defined]


def is_sharded(tensor: Any) -> bool:
    """Whether processes have different elements of a tensor."""
    return is_distributed(tensor) and not all(placement.is_replicate() for placement in tensor.placements)


def part_of(name: str, tensor: Any) -> Part:
    """The part of a tensor that this process has."""
    if not is_sharded(tensor):
        return Part(tuple(local(tensor).shape), None, 0)
    shape, start = _local_shape_and_start(tensor)
    whole = tuple(tensor.shape)
    differing = [dim for dim, (own, all_) in enumerate(zip(shape, whole)) if own != all_]
    first = differing[0] if differing else 0
    if len(differing) > 1 or any(size > 1 for size in whole[:first]):
        raise ValueError(
            f"tensor {name}: sharded along dimension {first} of {whole}: expected shards of whole rows; exclude it"
        )
    offset = start[first] * math.prod(whole[first + 1 :]) if whole else 0
    return Part(shape, whole, min(offset, math.prod(whole)))


def processes(parameters: list[torch.Tensor]) -> Processes:
    """Who records: of replicated gradients rank 0, of sharded ones every process of the first replica."""
    sharded: Any = next((parameter for parameter in parameters if is_sharded(parameter)), None)
    if sharded is not None:
        return _of_mesh(sharded)
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return Processes(0, 1, False)
    rank = distributed.get_rank()
    return Processes(rank if rank == 0 else None, distributed.get_world_size(), False)


def _of_mesh(tensor: Any) -> Processes:
    mesh = tensor.device_mesh
    coordinate = mesh.get_coordinate()
    if coordinate is None:
        return Processes(None, 1, True)
    rank, world_size, is_first_replica = 0, 1, True
    for dim, placement in enumerate(tensor.placements):
        if placement.is_replicate():
            is_first_replica &= coordinate[dim] == 0
        else:
            size = mesh.size(dim)
            rank, world_size = rank * size + coordinate[dim], world_size * size
    return Processes(rank if is_first_replica else None, world_size, True)


def _local_shape_and_start(tensor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # The package is `torch.distributed._tensor` before torch 2.5.
    package = type(tensor.placements[0]).__module__.rpartition(".")[0]
    utilities = importlib.import_module(f"{package}._utils")
    found = utilities.compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    shape, start = found
    return tuple(shape), tuple(start)

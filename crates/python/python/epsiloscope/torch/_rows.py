"""Counting many tensors at once by torch operations, in the layout of ``epsiloscope_recording::rows``.

Tensors lie one after the other in rows of ``ROW`` elements, the last row of each filled up with NaN. Every operation is over
all of them, since launching one costs microseconds however few elements it is for, and nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch

from epsiloscope import _native
from epsiloscope.torch._memory import from_bytes

__all__ = ["MAX_TENSORS", "Counted", "RowCounter"]

#: Tensors counted at once; the counters of one take 430 kB.
MAX_TENSORS = 64
#: Rows taken at once: 8 Mi elements, whose copies and intermediate results take up to 30 bytes each.
MAX_ROWS = 8192
#: Numbers in the layouts that are remembered, 8 bytes each. Layouts change where tensors come without gradient at times.
MAX_REMEMBERED = 1 << 23
_MAGNITUDE = 0x7FFFFFFF

#: What a tensor is told apart by, and the elements of it that are picked; ``None`` for none.
Picked = tuple[object, "torch.Tensor | None"]


class Counted(NamedTuple):
    """What counting found, still on the device."""

    #: Of each tensor per slot, 32-bit integers.
    counts: torch.Tensor
    #: ``RowSummary`` of each row, 32-bit integers.
    summaries: torch.Tensor
    #: The values of the picked elements, tensor by tensor.
    picked: list[torch.Tensor]


class _Piece(NamedTuple):
    """What a tensor has among the rows that are taken at once."""

    tensor: int
    start: int
    n_elements: int
    n_filled: int


class _Chunk(NamedTuple):
    """Rows that are taken at once."""

    pieces: list[_Piece]
    #: The first counter of each row's tensor; a column of 32-bit integers.
    owners: torch.Tensor
    #: Where the picked elements are among all elements of the rows; ``None`` if there are none.
    picked: torch.Tensor | None

    @property
    def n_numbers(self) -> int:
        return self.owners.numel() + (0 if self.picked is None else self.picked.numel())


class RowCounter:
    """Counts the tensors of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._edges = from_bytes(_native.edges(), torch.int32).to(device)
        self._lane = torch.arange(_native.ROW, dtype=torch.int32, device=device) % _native.LANES
        self._filler = torch.full((_native.ROW,), float("nan"), dtype=torch.float32, device=device)
        self._one = torch.ones(1, dtype=torch.int32, device=device)
        # Kept, as a copy to a device waits until that is idle.
        self._layouts: dict[tuple[object, ...], list[_Chunk]] = {}
        self._n_remembered = 0

    def count(self, values: list[torch.Tensor], picked: Sequence[Picked]) -> Counted:
        """Counts flat floats of so many tensors as :data:`MAX_TENSORS` at most."""
        n_slots, n_lanes = len(values) * _native.N_SLOTS, _native.LANES
        counters = torch.zeros(n_slots * n_lanes, dtype=torch.int32, device=self._device)
        summaries, found = [], []
        for chunk in self._layout([each.numel() for each in values], picked):
            rows = self._rows(values, chunk.pieces)
            magnitudes = rows.view(torch.int32) & _MAGNITUDE
            index = torch.bucketize(magnitudes, self._edges, out_int32=True, right=True)
            index = index.mul_(n_lanes).add_(self._lane).add_(chunk.owners).view(-1).long()
            counters.scatter_add_(0, index, self._one.expand_as(index))
            summaries.append(_summaries(rows, magnitudes))
            if chunk.picked is not None:
                found.append(rows.view(-1).index_select(0, chunk.picked))
        counts = counters.view(n_slots, n_lanes).sum(1, dtype=torch.int32)
        return Counted(counts, torch.cat(summaries), found)

    def _rows(self, values: list[torch.Tensor], pieces: list[_Piece]) -> torch.Tensor:
        parts = []
        for tensor, start, n_elements, n_filled in pieces:
            whole = values[tensor]
            parts.append(whole if whole.numel() == n_elements else whole[start : start + n_elements])
            if n_filled:
                parts.append(self._filler[:n_filled])
        return (torch.cat(parts) if len(parts) > 1 else parts[0]).view(-1, _native.ROW)

    def _layout(self, numels: list[int], picked: Sequence[Picked]) -> list[_Chunk]:
        key = (*numels, *(name for name, _ in picked))
        if key not in self._layouts:
            if self._n_remembered > MAX_REMEMBERED:
                self._layouts.clear()
                self._n_remembered = 0
            chunks = _chunks(numels, [each for _, each in picked], self._device)
            self._n_remembered += sum(len(key) + chunk.n_numbers for chunk in chunks)
            self._layouts[key] = chunks
        return self._layouts[key]


def _chunks(numels: list[int], picked: list[torch.Tensor | None], device: torch.device) -> list[_Chunk]:
    """Tensors of so many elements, laid out and cut after every :data:`MAX_ROWS` rows."""
    n_rows = [max(1, -(-numel // _native.ROW)) for numel in numels]
    ends = list(accumulate(n_rows))
    firsts = [end - own for end, own in zip(ends, n_rows)]
    places = [first * _native.ROW + each.cpu() for first, each in zip(firsts, picked) if each is not None]
    chunks = []
    for begin in range(0, ends[-1], MAX_ROWS):
        end = min(begin + MAX_ROWS, ends[-1])
        pieces, owners = [], []
        for tensor, numel in enumerate(numels):
            first, last = max(begin, firsts[tensor]), min(end, ends[tensor])
            if first < last:
                start, stop = (first - firsts[tensor]) * _native.ROW, (last - firsts[tensor]) * _native.ROW
                n_elements = min(stop, numel) - start
                pieces.append(_Piece(tensor, start, n_elements, stop - start - n_elements))
                owners += [tensor * _native.N_SLOTS * _native.LANES] * (last - first)
        here = [place[(begin * _native.ROW <= place) & (place < end * _native.ROW)] for place in places]
        found = torch.cat(here) - begin * _native.ROW if any(each.numel() for each in here) else None
        column = torch.tensor(owners, dtype=torch.int32, device="cpu").unsqueeze(1)
        chunks.append(_Chunk(pieces, column.to(device), None if found is None else found.to(device)))
    return chunks


def _summaries(rows: torch.Tensor, magnitudes: torch.Tensor) -> torch.Tensor:
    """``RowSummary`` of each row."""
    # Less one, zero is the largest of all.
    least = (magnitudes - 1).bitwise_and_(_MAGNITUDE).amin(1, keepdim=True)
    neg_inf = (rows == float("-inf")).sum(1, keepdim=True, dtype=torch.int32)
    finite = torch.where(magnitudes < _native.INFINITY_BITS, rows, 0.0)
    greatest = torch.linalg.vector_norm(finite, float("inf"), 1, keepdim=True).view(torch.int32)
    norm = torch.linalg.vector_norm(finite, 2, 1, keepdim=True, dtype=torch.float64)
    return torch.cat([least, greatest, neg_inf, norm.square().view(torch.int32)], 1)

"""Counting where the gradients are, by torch operations: counts and recorded elements come back once per step.

The bin of a float is found by two look-ups in a table of integers (``epsiloscope_histogram::device`` explains it), so counts
are those of the CPU's kernel bit for bit. Tensors are taken together, since launching an operation costs microseconds however
few elements it is for, and every slot has several counters, lanes, so that equal neighbours do not wait for each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from epsiloscope import _native
from epsiloscope.torch._memory import from_bytes, view
from epsiloscope.torch._moments import KeptMoments, lent_critical_epsilon
from epsiloscope.torch._optimizers import Lent

__all__ = ["DeviceEngine"]

#: Elements counted at once; each takes some 60 bytes meanwhile.
BATCH = 1 << 22
#: Tensors counted at once; the counters of one take 430 kB.
MAX_TENSORS = 64
#: Counters per slot: one for each thread of a warp.
LANES = 32
#: Layouts that are remembered. They change where tensors come without gradient at times.
MAX_LAYOUTS = 256
_LOW_MASK = (1 << _native.CELL_SHIFT) - 1
#: What a piece without elements comes to: least non-zero magnitude, greatest finite one, sum of squares.
_NOTHING = (float("inf"), -1.0, 0.0)

#: Index of the tensor, and of the optimizer whose critical ε it is, or ``None`` for the gradient.
Key = tuple[int, "int | None"]


class _Waiting(NamedTuple):
    """What was counted and is on its way to the CPU."""

    keys: list[tuple[int, int | None, bool]]
    packed: torch.Tensor
    n_samples: int
    arrival: torch.cuda.Event | None


class DeviceEngine:
    """Counts the tensors of one device."""

    def __init__(
        self,
        recording: _native.Recording,
        device: torch.device,
        elements: dict[int, bytes | None],
        kept: dict[int, list[KeptMoments]],
    ) -> None:
        self._recording = recording
        self._device = device
        self._table = from_bytes(_native.slot_table(), torch.int32).to(device)
        self._listed = {
            tensor: None if listed is None else from_bytes(listed, torch.int64).to(device)
            for tensor, listed in elements.items()
        }
        self.kept = kept
        self._keys: list[tuple[int, int | None, bool]] = []
        self._values: list[torch.Tensor] = []
        self._samples: list[torch.Tensor] = []
        self._counted: list[tuple[list[tuple[int, int | None, bool]], torch.Tensor, torch.Tensor]] = []
        self._one = torch.ones(1, dtype=torch.int32, device=device)
        self._layouts: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}
        self._n_values = 0
        self._waiting: list[_Waiting] = []

    def take(self, gradients: list[tuple[int, torch.Tensor]], counted: bool, moments: bool) -> None:
        """Takes gradients of tensors by their indices; what is counted of them is settled before the next step."""
        for tensor, gradient in gradients:
            flat = gradient.reshape(-1)
            if counted:
                self._add((tensor, None), flat, self._sample(tensor, flat))
            if moments:
                for each in self.kept.get(tensor, ()):
                    each.update(flat)
        self._count()

    def take_kept(self, elements: bool) -> None:
        """Takes the critical ε that follow from the moments kept here."""
        for tensor, moments in self.kept.items():
            for optimizer, each in enumerate(moments):
                values = each.critical_epsilon()
                if values is not None:
                    self._add((tensor, optimizer), values, values if elements else None)
        self._count()

    def take_lent(self, tensor: int, lent: Lent, elements: bool) -> None:
        """Takes the critical ε that follow from moments which the optimizer keeps."""
        values = lent_critical_epsilon(lent).reshape(-1)
        self._add((tensor, 0), values, values if elements else None)

    def launch(self) -> None:
        """Sends off what was counted, without waiting for it."""
        self._count()
        if not self._counted:
            return
        keys = [key for of_batch, _, _ in self._counted for key in of_batch]
        counts = [counts.reshape(-1) for _, counts, _ in self._counted]
        summaries = [summaries.reshape(-1).view(torch.int32) for _, _, summaries in self._counted]
        samples = [sample.view(torch.int32) for sample in self._samples]
        packed = torch.cat(summaries + counts + samples)
        n_samples = sum(sample.numel() for sample in samples)
        arrival = None
        if packed.is_cuda:
            host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            host.copy_(packed, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record(torch.cuda.current_stream(self._device))
            packed = host
        self._waiting.append(_Waiting(keys, packed, n_samples, arrival))
        self._counted, self._samples = [], []

    def settle(self) -> None:
        """Waits for what was sent off and hands it to the recording."""
        self.launch()
        waiting, self._waiting = self._waiting, []
        for keys, packed, n_samples, arrival in waiting:
            if arrival is not None:
                arrival.synchronize()
            numbers = packed.cpu()
            # Sums are twice as wide as the rest, and stand first for that.
            n_summary = 2 * 3 * len(keys)
            summaries, counts, samples = numbers.split([n_summary, numbers.numel() - n_summary - n_samples, n_samples])
            address, n_words = view(summaries)
            self._recording.counted(keys, view(counts), (address, n_words // 2), view(samples))

    def discard(self) -> None:
        """Forgets what was taken and not settled."""
        self._keys, self._values, self._samples, self._counted, self._waiting = [], [], [], [], []
        self._n_values = 0

    def _sample(self, tensor: int, flat: torch.Tensor) -> torch.Tensor | None:
        """Values of the elements that are recorded at every step; a copy, as the optimizer may change the gradient."""
        listed = self._listed[tensor]
        if listed is None:
            return flat.clone()
        return flat.index_select(0, listed) if listed.numel() else None

    def _add(self, key: Key, values: torch.Tensor, sample: torch.Tensor | None) -> None:
        is_full = len(self._values) == MAX_TENSORS or self._n_values + values.numel() > BATCH
        if self._values and is_full:
            self._count()
        self._n_values += values.numel()
        self._keys.append((*key, sample is not None))
        self._values.append(values)
        if sample is not None:
            self._samples.append(sample)

    def _count(self) -> None:
        """Counts the tensors that were added since the last time."""
        keys, values, self._keys, self._values, self._n_values = self._keys, self._values, [], [], 0
        if not keys:
            return
        if len(values) == 1:
            counts, summaries = self._count_one(values[0])
        else:
            counts, summaries = self._count_several(values)
        self._counted.append((keys, counts, summaries))

    def _count_one(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lanes = self._lanes_of(1)
        pieces = []
        for piece in values.split(BATCH):
            self._add_to(lanes, self._slots(piece))
            pieces.append(_summary(piece))
        together = torch.stack(pieces)
        least, greatest, sums = together[:, 0].min(), together[:, 1].max(), together[:, 2].sum()
        return lanes.view(-1, LANES).sum(1, dtype=torch.int32), torch.stack([least, greatest, sums])

    def _count_several(self, values: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        together = torch.cat(values)
        lengths, starts = self._layout(tuple(each.numel() for each in values))
        slots = self._slots(together)
        slots += torch.repeat_interleave(starts, lengths, output_size=together.numel())
        lanes = self._lanes_of(len(values))
        self._add_to(lanes, slots)
        return lanes.view(-1, LANES).sum(1, dtype=torch.int32), _summaries(together, lengths)

    def _lanes_of(self, n_tensors: int) -> torch.Tensor:
        return torch.zeros(n_tensors * _native.N_SLOTS * LANES, dtype=torch.int32, device=self._device)

    def _add_to(self, lanes: torch.Tensor, slots: torch.Tensor) -> None:
        lane = torch.arange(slots.numel(), device=self._device) % LANES
        lanes.scatter_add_(0, slots * LANES + lane, self._one.expand_as(slots))

    def _layout(self, lengths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Lengths and first slots of tensors side by side; kept, as a copy to a device waits until that is idle."""
        if lengths not in self._layouts:
            starts = range(0, len(lengths) * _native.N_SLOTS, _native.N_SLOTS)
            on_device = [torch.tensor(each, device=self._device) for each in (lengths, tuple(starts))]
            if len(self._layouts) == MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[lengths] = on_device[0], on_device[1]
        return self._layouts[lengths]

    def _slots(self, values: torch.Tensor) -> torch.Tensor:
        """Where each value is counted."""
        raw = values.view(torch.int32)
        magnitude = raw & 0x7FFFFFFF
        is_subnormal = magnitude < _native.MIN_NORMAL_BITS
        # A subnormal's bits, taken for a number, are the value times 2^149: a normal float.
        bits = torch.where(is_subnormal, magnitude.float().view(torch.int32), magnitude)
        cell = (bits >> _native.CELL_SHIFT) + is_subnormal * _native.SUBNORMAL_CELLS
        slots = (self._table[cell] + (bits & _LOW_MASK)) >> _native.CELL_SHIFT
        slots += (raw == _native.NEG_INF_BITS) * _native.NEG_INF_OFFSET
        return slots.long()


def _summary(values: torch.Tensor) -> torch.Tensor:
    """Least non-zero magnitude, greatest finite one, sum of squares."""
    if values.numel() == 0:
        return torch.tensor(_NOTHING, dtype=torch.float64, device=values.device)
    least, greatest, squares = _terms(values)
    return torch.stack([least.min().double(), greatest.max().double(), squares.sum()])


def _summaries(together: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The same of each of several tensors that lie one after the other."""
    least, greatest, squares = _terms(together)
    reduced = [
        torch.segment_reduce(terms, reduction, lengths=lengths, unsafe=True, initial=initial).double()
        for terms, reduction, initial in zip((least, greatest, squares), ("min", "max", "sum"), _NOTHING)
    ]
    return torch.stack(reduced, dim=1)


def _terms(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    magnitudes = values.abs()
    is_finite = values.isfinite()
    least = torch.where(is_finite & (magnitudes > 0), magnitudes, _NOTHING[0])
    greatest = torch.where(is_finite, magnitudes, _NOTHING[1])
    return least, greatest, torch.where(is_finite, values, 0.0).double().square()

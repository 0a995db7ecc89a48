"""Counting where the gradients are: counts and recorded elements come back once per step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from epsiloscope import _native
from epsiloscope.torch._memory import Coming, from_bytes, send, view
from epsiloscope.torch._moments import KeptMoments, lent_critical_epsilon
from epsiloscope.torch._optimizers import Lent
from epsiloscope.torch._rows import MAX_TENSORS, Counted, RowCounter

__all__ = ["DeviceEngine", "Recorded"]

#: Critical ε are counted once so many wait.
MOST_ELEMENTS = 1 << 23
#: Tensors of no more elements, all of them recorded, are picked from among the others: a copy of each would be a launch.
FEW_ELEMENTS = 1 << 16

#: Index of the tensor; of the optimizer whose critical ε it is, or ``None`` for the gradient; whether values come with it.
Key = tuple[int, "int | None", bool]


class Recorded(NamedTuple):
    """A tensor, and the elements of it that are recorded at every step, as 64-bit integers; ``None`` for all."""

    name: str
    numel: int
    listed: bytes | None


class _Waiting(NamedTuple):
    """What was counted and is on its way to the CPU."""

    keys: list[Key]
    #: Counts, summaries, samples.
    packed: Coming
    lengths: list[int]


class DeviceEngine:
    """Counts the tensors of one device."""

    def __init__(
        self,
        recording: _native.Recording,
        device: torch.device,
        tensors: dict[int, Recorded],
        kept: dict[int, list[KeptMoments]],
    ) -> None:
        self._recording = recording
        self._counter = RowCounter(device)
        self._tensors = tensors
        #: Of each tensor the elements that are recorded at every step; ``None`` for all of many.
        self._listed = {index: _listed(tensor) for index, tensor in tensors.items()}
        self.kept = kept
        #: To be counted together.
        self._added: list[tuple[Key, torch.Tensor]] = []
        self._n_values = 0
        self._counted: list[tuple[list[Key], Counted]] = []
        self._samples: list[torch.Tensor] = []
        self._waiting: list[_Waiting] = []

    def take(self, gradients: list[tuple[int, torch.Tensor]], counted: bool, moments: bool) -> None:
        """Takes gradients of tensors by their indices; what is counted of them is settled before the next step."""
        for tensor, gradient in gradients:
            flat = gradient.reshape(-1)
            if counted:
                self._add((tensor, None, self._is_sampled(tensor)), flat)
            if moments:
                for each in self.kept.get(tensor, ()):
                    each.update(flat)
        # The optimizer may change gradients.
        self._count()

    def take_kept(self, elements: bool) -> None:
        """Takes the critical ε that follow from the moments kept here."""
        for tensor, moments in self.kept.items():
            for optimizer, each in enumerate(moments):
                values = each.critical_epsilon()
                if values is not None:
                    self._add((tensor, optimizer, elements), values)

    def take_lent(self, lent: list[tuple[int, Lent]], elements: bool) -> None:
        """Takes the critical ε that follow from moments which the optimizer keeps."""
        for tensors, together in _together(lent):
            values = lent_critical_epsilon(together)
            numels = [each.second.numel() for _, each in tensors]
            for (tensor, _), own in zip(tensors, values.split(numels)):
                self._add((tensor, 0, elements), own)

    def launch(self) -> None:
        """Sends off what was counted, without waiting for it."""
        self._count()
        if not self._counted:
            return
        keys = [key for of_batch, _ in self._counted for key in of_batch]
        counts = [counted.counts for _, counted in self._counted]
        summaries = [counted.summaries.view(-1) for _, counted in self._counted]
        samples = [sample.view(torch.int32) for sample in self._samples]
        lengths = [sum(each.numel() for each in of) for of in (counts, summaries, samples)]
        self._waiting.append(_Waiting(keys, send(torch.cat(counts + summaries + samples)), lengths))
        self._counted, self._samples = [], []

    def settle(self) -> None:
        """Waits for what was sent off and hands it to the recording."""
        self.launch()
        waiting, self._waiting = self._waiting, []
        for keys, packed, lengths in waiting:
            self._recording.counted(keys, *map(view, packed.arrived().split(lengths)))

    def discard(self) -> None:
        """Forgets what was taken and not settled."""
        self._added, self._counted, self._samples, self._waiting = [], [], [], []
        self._n_values = 0

    def _is_sampled(self, tensor: int) -> bool:
        listed = self._listed[tensor]
        return listed is None or listed.numel() > 0

    def _add(self, key: Key, values: torch.Tensor) -> None:
        name, expected, _ = self._tensors[key[0]]
        if values.numel() != expected:
            # Picked elements that are not there would be a fault of the device, which ends the training.
            found = f"{values.numel()} gradient elements"
            raise ValueError(f"tensor {name}: {found}: expected {expected}, as when recording started")
        if len(self._added) == MAX_TENSORS or (key[1] is not None and self._n_values > MOST_ELEMENTS):
            self._count()
        self._n_values += values.numel()
        self._added.append((key, values))

    def _is_whole(self, key: Key) -> bool:
        """Whether the value of every element is recorded."""
        tensor, optimizer, is_sampled = key
        return is_sampled and (optimizer is not None or self._listed[tensor] is None)

    def _count(self) -> None:
        """Counts the tensors that were added since the last time."""
        added, self._added, self._n_values = self._added, [], 0
        if not added:
            return
        # Values of some elements come from where they are counted, and before those of all, which come by themselves.
        added.sort(key=lambda each: self._is_whole(each[0]))
        keys, values = map(list, zip(*added))
        # A copy of a gradient, as the optimizer may change it.
        whole = [value.clone() if key[1] is None else value for key, value in added if self._is_whole(key)]
        picked = [(key, self._listed[key[0]] if key[2] and not self._is_whole(key) else None) for key in keys]
        counted = self._counter.count(values, picked)
        self._counted.append((keys, counted))
        self._samples += counted.picked + whole


def _listed(tensor: Recorded) -> torch.Tensor | None:
    if tensor.listed is not None:
        return from_bytes(tensor.listed, torch.int64)
    return torch.arange(tensor.numel, device="cpu") if tensor.numel <= FEW_ELEMENTS else None


def _together(lent: list[tuple[int, Lent]]) -> Iterator[tuple[list[tuple[int, Lent]], Lent]]:
    """Moments whose critical ε follow by the same numbers, some tensors' side by side: operations on few elements cost as much."""
    by_settings: dict[tuple[object, ...], list[tuple[int, Lent]]] = {}
    for each in lent:
        kind, steps, beta2, epsilon = each[1][:4]
        by_settings.setdefault((kind, steps, beta2, epsilon), []).append(each)
    for alike in by_settings.values():
        batch, n_elements = [], 0
        for each in alike:
            batch.append(each)
            n_elements += each[1].second.numel()
            if each is alike[-1] or n_elements > MOST_ELEMENTS:
                yield batch, _joined([moments for _, moments in batch])
                batch, n_elements = [], 0


def _joined(lent: list[Lent]) -> Lent:
    first, second, greatest = (
        _flat(list(parts)) for parts in zip(*((each.first, each.second, each.greatest) for each in lent))
    )
    return lent[0]._replace(first=first, second=second, greatest=greatest)


def _flat(parts: list[Any]) -> Any:
    """Side by side; ``None`` of what an optimizer does not have."""
    if parts[0] is None:
        return None
    flat = [part.reshape(-1) for part in parts]
    return torch.cat(flat) if len(flat) > 1 else flat[0]

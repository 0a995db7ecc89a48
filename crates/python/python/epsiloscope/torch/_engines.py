"""Which tensors are counted where: by the extension on the CPU, by torch operations elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from epsiloscope._native import Recording
from epsiloscope.torch._device import DeviceEngine, Recorded
from epsiloscope.torch._host import HostEngine
from epsiloscope.torch._memory import from_bytes
from epsiloscope.torch._moments import KeptMoments, StoredMoments
from epsiloscope.torch._optimizers import Lent
from epsiloscope.torch._parameters import Watched
from epsiloscope.torch._request import Options
from epsiloscope.torch._shards import local

__all__ = ["Engines"]


class Engines:
    """The engines of a recording, one for the CPU and one for each device that has parameters."""

    def __init__(
        self,
        dir: str,
        options: Options,
        tensors: list[Watched],
        text: Callable[[set[str]], str],
        decay: tuple[float, float],
        stored: Mapping[str, torch.Tensor] | None,
    ) -> None:
        by_name = {each.name: each for each in tensors}
        on_host = {each.name for each in tensors if _is_on_host(each, options)}
        self._decay = decay
        self._stored = stored
        given = _given(options, on_host, stored) if options.keeps_moments and stored is not None else {}
        views = {name: {optimizer: moments.views() for optimizer, moments in of.items()} for name, of in given.items()}
        self.recording = Recording(dir, text(on_host if options.keeps_moments else set()), views)
        #: Whose critical ε are recorded.
        self.optimizers = self.recording.optimizers()
        recorded = self.recording.tensors()
        #: The tensors that are this process's to record, with their indices.
        self.tensors = [(index, by_name[name]) for index, (name, is_own, _, _) in enumerate(recorded) if is_own]
        self._names = [name for name, _, _, _ in recorded]
        self._host = HostEngine(self.recording)
        self._has_host_tensors = any(name in on_host for name in self._names)
        self._of: dict[int, DeviceEngine] = {}
        on_device = {
            index: Recorded(name, numel, listed)
            for index, (name, is_own, numel, listed) in enumerate(recorded)
            if is_own and name not in on_host
        }
        self._devices = self._device_engines(options, on_device, by_name)

    def _device_engines(
        self, options: Options, recorded: dict[int, Recorded], by_name: dict[str, Watched]
    ) -> list[DeviceEngine]:
        engines = []
        tensors = {index: by_name[each.name] for index, each in recorded.items()}
        for device in dict.fromkeys(_device_of(each) for each in tensors.values()):
            here = [index for index, each in tensors.items() if _device_of(each) == device]
            kept = {index: self._kept(tensors[index], device) for index in here} if options.keeps_moments else {}
            engine = DeviceEngine(self.recording, device, {index: recorded[index] for index in here}, kept)
            self._of.update(dict.fromkeys(here, engine))
            engines.append(engine)
        return engines

    def _kept(self, tensor: Watched, device: torch.device) -> list[KeptMoments]:
        numel = local(tensor.parameter.detach()).numel()
        kept = [KeptMoments(optimizer, *self._decay, numel, device) for optimizer in self.optimizers]
        for moments in kept if self._stored is not None else ():
            moments.restore(_stored(self._stored or {}, moments.optimizer, tensor.name))
        return kept

    def stored_moments(self) -> dict[str, torch.Tensor]:
        """The moments kept beside the optimizer's own, by `<optimizer>/<tensor>/{first,second,max,steps}`."""
        stored = {}
        for index, moments in enumerate(self.recording.moments()):
            engine = self._of.get(index)
            parts = [StoredMoments(steps, *(from_bytes(part, torch.float32) for part in of)) for steps, *of in moments]
            if engine is not None:
                parts = [kept.stored() for kept in engine.kept.get(index, ())]
            for optimizer, part in zip(self.optimizers, parts):
                key = f"{optimizer}/{self._names[index]}"
                stored[f"{key}/steps"] = torch.tensor([part.steps])
                stored[f"{key}/first"] = part.first
                stored[f"{key}/second"] = part.second
                stored[f"{key}/max"] = part.greatest
        return stored

    def take(self, gradients: list[tuple[int, torch.Tensor]], counted: bool, moments: bool) -> None:
        """Takes gradients of tensors by their indices."""
        self._host.take([each for each in gradients if each[0] not in self._of], counted, moments)
        for engine in self._devices:
            engine.take([each for each in gradients if self._of.get(each[0]) is engine], counted, moments)

    def take_kept(self, elements: bool) -> None:
        """Takes the critical ε that follow from moments kept beside the optimizer's own."""
        if self._has_host_tensors:
            self._host.take_kept(elements)
        for engine in self._devices:
            engine.take_kept(elements)

    def take_lent(self, lent: list[tuple[int, Lent]], elements: bool) -> None:
        """Takes the critical ε that follow from the optimizer's own moments of tensors."""
        self._host.take_lent([each for each in lent if each[0] not in self._of], elements)
        for engine in self._devices:
            engine.take_lent([each for each in lent if self._of.get(each[0]) is engine], elements)

    def launch(self) -> None:
        """Sends off what devices have counted, without waiting for it."""
        for engine in self._devices:
            engine.launch()

    def settle(self) -> None:
        """Waits for what devices have counted."""
        for engine in self._devices:
            engine.settle()

    def discard(self) -> None:
        """Forgets what was taken and not settled."""
        for engine in self._devices:
            engine.discard()


def _device_of(tensor: Watched) -> torch.device:
    return local(tensor.parameter.detach()).device


def _is_on_host(tensor: Watched, options: Options) -> bool:
    if options.count_on == "anywhere":
        # Other devices lack the wide floats that sums are taken in.
        return _device_of(tensor).type != "cuda"
    return options.count_on == "host"


def _stored(stored: Mapping[str, torch.Tensor], optimizer: str, tensor: str) -> StoredMoments:
    try:
        parts = [stored[f"{optimizer}/{tensor}/{part}"] for part in ("steps", "first", "second", "max")]
    except KeyError as missing:
        raise ValueError(f"resume: expected moments {missing}, as state_dict() gave them") from None
    steps, first, second, greatest = (part.cpu().contiguous() for part in parts)
    return StoredMoments(int(steps[0]), first, second, greatest)


def _given(
    options: Options, on_host: set[str], stored: Mapping[str, torch.Tensor]
) -> dict[str, dict[str, StoredMoments]]:
    """The moments that the extension goes on with, of each tensor that it counts."""
    optimizers = list(options.critical_epsilon or ())
    names = {key.split("/", 1)[1].rsplit("/", 1)[0] for key in stored}
    return {name: {optimizer: _stored(stored, optimizer, name) for optimizer in optimizers} for name in on_host & names}

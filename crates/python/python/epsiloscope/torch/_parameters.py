"""The parameters that an optimizer trains, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from epsiloscope.torch._optimizers import Kind, coupled_weight_decay, kind_of
from epsiloscope.torch._shards import Part, is_distributed, local, part_of

__all__ = ["Watched", "bare", "watched"]

#: What wrappers put into the names of parameters.
_WRAPPERS = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")


@dataclass
class Watched:
    """One tensor that is recorded."""

    name: str
    parameter: torch.Tensor
    optimizer: torch.optim.Optimizer
    group_index: int
    kind: Kind
    part: Part
    is_distributed: bool

    @property
    def group(self) -> dict[str, Any]:
        """The parameter's group: schedulers change its settings, and ``load_state_dict`` replaces it."""
        return self.optimizer.param_groups[self.group_index]

    def gradient(self, inverse_scale: torch.Tensor | float | None) -> torch.Tensor | None:
        """What enters the optimizer's moments, as dense floats; ``None`` where there is no gradient.

        The gradient itself where it is that already: nothing is copied then.
        """
        parameter = self.parameter
        gradient = parameter.grad
        if gradient is None or not parameter.requires_grad:
            return None
        group = self.group
        weight_decay = coupled_weight_decay(self.kind, group)
        is_changed = inverse_scale is not None or weight_decay != 0 or group.get("maximize")
        if not (is_changed or self.is_distributed) and gradient.dtype is torch.float32 and _is_dense(gradient):
            return gradient
        return self._prepared(gradient.detach(), inverse_scale, weight_decay)

    def _prepared(
        self, gradient: torch.Tensor, inverse_scale: torch.Tensor | float | None, weight_decay: float
    ) -> torch.Tensor:
        if is_distributed(gradient) and gradient.placements != self.parameter.placements:  # type: ignore[attr-defined]
            raise ValueError(f"tensor {self.name}: its gradient is spread otherwise than itself: exclude it")
        gradient = local(gradient)
        if gradient.layout is not torch.strided:
            # Entries of the same index add up.
            gradient = gradient.to_dense()
        if inverse_scale is not None:
            # Floats of half the width may not reach as low as the unscaled value.
            wide = gradient if gradient.dtype == torch.float64 else gradient.float()
            if isinstance(inverse_scale, torch.Tensor):
                inverse_scale = inverse_scale.to(wide.device, non_blocking=True)
            gradient = wide * inverse_scale
        if self.group.get("maximize"):
            gradient = -gradient
        if weight_decay != 0:
            gradient = gradient.add(local(self.parameter.detach()), alpha=weight_decay)
        return gradient.float().contiguous()


def _is_dense(gradient: torch.Tensor) -> bool:
    return gradient.layout is torch.strided and gradient.is_contiguous() and not gradient.requires_grad


def bare(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of torch.compile and data parallelism."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def watched(model: nn.Module | None, optimizer: torch.optim.Optimizer) -> list[Watched]:
    """The optimizer's parameters by ascending names: those in the model, of several names the first in alphabetical order."""
    names = {} if model is None else _names(bare(model))
    found: dict[str, Watched] = {}
    for group_index, group in enumerate(optimizer.param_groups):
        kind = kind_of(optimizer, group)
        given = group.get("param_names") or []
        for index, parameter in enumerate(group["params"]):
            name = names.get(id(parameter))
            if name is None:
                name = given[index] if index < len(given) else f"group{group_index}.{index}"
            while name in found:
                name += "_"
            _check(name, parameter)
            part = part_of(name, parameter)
            found[name] = Watched(name, parameter, optimizer, group_index, kind, part, is_distributed(parameter))
    return [found[name] for name in sorted(found)]


def _names(model: nn.Module) -> dict[int, str]:
    names: dict[int, str] = {}
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise TypeError("FullyShardedDataParallel flattens parameters: expected fully_shard (FSDP2)")
    for name, parameter in model.named_parameters(remove_duplicate=False):
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, "")
        names[id(parameter)] = min(name, names.get(id(parameter), name))
    return names


def _check(name: str, parameter: torch.Tensor) -> None:
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise ValueError(f"tensor {name}: not initialised: expected a model that has seen its first batch")
    if parameter.is_complex():
        raise ValueError(f"tensor {name}: complex: expected a real tensor; leave it to another optimizer")

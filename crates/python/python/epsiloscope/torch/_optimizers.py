"""What is known of the optimizers that train: their settings, and the moments that they keep for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch

from epsiloscope.torch._shards import local

__all__ = ["Kind", "Lent", "coupled_weight_decay", "decay_rates", "kind_of", "lent", "settings", "unwrapped"]


@dataclass(frozen=True)
class Kind:
    """One optimizer, as files call it, and where it keeps what its denominator is made of."""

    name: str
    #: Whose critical ε follows from its second moment, as `epsiloscope_moments` names them.
    moments: str | None = None
    #: Keys of its state: second moment, first one where the denominator needs it, greatest second one.
    second: str = "exp_avg_sq"
    first: str | None = None
    greatest: str | None = None
    #: Whether weight decay is added to the gradient.
    is_coupled: bool = True
    #: Whether ε is in the second moment already, having been added at every step.
    adds_epsilon: bool = False


_ADAM = Kind("adam", "adam")
_KINDS = {
    "AdamW": replace(_ADAM, name="adamw", is_coupled=False),
    "NAdam": replace(_ADAM, name="nadam"),
    "RAdam": Kind("radam", "radam"),
    "SparseAdam": _ADAM,
    "Adam": _ADAM,
    "RMSprop": Kind("rmsprop", "rmsprop", second="square_avg"),
    "Adagrad": Kind("adagrad", "adagrad", second="sum"),
    "AdaBelief": Kind("adabelief", "adabelief", second="exp_avg_var", adds_epsilon=True),
    "Yogi": Kind("yogi", "yogi"),
    "EAdam": Kind("eadam"),
    "AdaMomentum": Kind("adamomentum"),
    "SGD": Kind("sgd"),
}


class Owned(Protocol):
    """A parameter, its group, and the kind of optimizer that they are in."""

    @property
    def parameter(self) -> torch.Tensor: ...
    @property
    def group(self) -> dict[str, Any]: ...
    @property
    def kind(self) -> Kind: ...


class Lent(NamedTuple):
    """The moments of one parameter, where the optimizer has them."""

    kind: Kind
    steps: int
    beta2: float
    epsilon: float
    first: torch.Tensor | None
    second: torch.Tensor
    greatest: torch.Tensor | None


def unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer inside those of Accelerate and Lightning."""
    while True:
        inner = getattr(optimizer, "optimizer", None)
        if not isinstance(inner, torch.optim.Optimizer) or inner is optimizer:
            break
        optimizer = inner
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"expected a torch.optim.Optimizer, found {type(optimizer).__name__}")
    return optimizer


def kind_of(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> Kind:
    """The kind of an optimizer, by the name of its class or of one that it is derived from."""
    names = [cls.__name__ for cls in type(optimizer).__mro__]
    kind = next((_KINDS[name] for name in names if name in _KINDS), None)
    if kind is None:
        return Kind(names[0].lower(), is_coupled=False)
    if group.get("decoupled_weight_decay") or group.get("weight_decouple"):
        kind = replace(kind, is_coupled=False)
    if group.get("amsgrad") and kind.moments == "adam":
        return replace(kind, name="amsgrad", moments="amsgrad", greatest="max_exp_avg_sq")
    if group.get("amsgrad"):
        return replace(kind, moments=None)
    if group.get("centered") and kind.moments == "rmsprop":
        return replace(kind, name="rmsprop-centered", moments="rmsprop-centered", first="grad_avg")
    return kind


def settings(kind: Kind, group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a parameter group, as the manifest has them."""
    beta1, beta2 = _betas(group)
    return {
        "name": kind.name,
        "learning_rate": _number(group.get("lr"), 0.0),
        "epsilon": _number(group.get("eps"), 0.0),
        "beta1": beta1,
        "beta2": beta2,
        "weight_decay": _number(group.get("weight_decay"), 0.0),
    }


def decay_rates(group: dict[str, Any]) -> tuple[float, float]:
    """β1 and β2 behind every critical ε: the optimizer's, or else those of the method."""
    beta1, beta2 = _betas(group)
    return 0.9 if beta1 is None else beta1, 0.999 if beta2 is None else beta2


def coupled_weight_decay(kind: Kind, group: dict[str, Any]) -> float:
    """The coefficient w of the term w·p that the optimizer adds to the gradient of parameter p."""
    weight_decay = group.get("weight_decay") if kind.is_coupled else None
    return _number(weight_decay, 0.0) if weight_decay else 0.0


def lent(optimizer: torch.optim.Optimizer, parameters: Sequence[Owned]) -> list[Lent | None]:
    """The moments of parameters as they are; ``None`` before a first step, and where they are of no use."""
    states = [optimizer.state.get(each.parameter) or {} for each in parameters]
    steps = _steps([state.get("step", 0) for state in states])
    return [_lent(*each) for each in zip(parameters, states, steps)]


def _lent(owned: Owned, state: dict[str, Any], steps: int) -> Lent | None:
    kind, group = owned.kind, owned.group
    if kind.moments is None or steps < 1:
        return None
    second, first, greatest = (_moment(state, key) for key in (kind.second, kind.first, kind.greatest))
    is_complete = (first is None) == (kind.first is None) and (greatest is None) == (kind.greatest is None)
    if second is None or not is_complete:
        return None
    beta2 = _betas(group)[1]
    epsilon = _number(group.get("eps"), 0.0)
    return Lent(kind, steps, 0.999 if beta2 is None else beta2, epsilon, first, second, greatest)


def _steps(counts: list[Any]) -> list[int]:
    """Numbers of steps; those that are on a device are waited for once."""
    on_device: dict[torch.device, list[int]] = {}
    for index, count in enumerate(counts):
        if isinstance(count, torch.Tensor) and not count.is_cpu:
            on_device.setdefault(count.device, []).append(index)
    counts = list(counts)
    for indices in on_device.values():
        for index, count in zip(indices, torch.stack([counts[index].reshape(()) for index in indices]).tolist()):
            counts[index] = count
    return [int(count) for count in counts]


def _moment(state: dict[str, Any], key: str | None) -> torch.Tensor | None:
    moment = state.get(key) if key else None
    if not isinstance(moment, torch.Tensor) or moment.is_sparse:
        return None
    return local(moment.detach()).float().contiguous()


def _betas(group: dict[str, Any]) -> tuple[float | None, float | None]:
    betas = group.get("betas")
    if isinstance(betas, (tuple, list)) and len(betas) >= 2:
        return _number(betas[0], 0.9), _number(betas[1], 0.999)
    alpha = group.get("alpha")
    return None, None if alpha is None else _number(alpha, 0.99)


def _number(value: Any, default: float) -> float:
    """A setting as a number; one that is none, as Adafactor's pair of ε, counts as not set."""
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError):
        return default

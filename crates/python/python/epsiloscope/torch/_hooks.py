"""What is called before and after each step of an optimizer: by torch's own hooks, or around them where torch drops those.

torch 2.2 takes the wrapper that calls hooks off the optimizers' classes at the first ``torch.compile`` of the process. There
the optimizer's own ``step`` is wrapped, as learning rate schedulers do.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["WrappedStep", "attach"]

#: Called with the optimizer, arguments (it among them) and keywords; may give others.
Before = Callable[[Any, "tuple[Any, ...]", "dict[str, Any]"], "tuple[Any, Any] | None"]
After = Callable[[Any, "tuple[Any, ...]", "dict[str, Any]"], None]

_VERSION = tuple(map(int, re.findall(r"\d+", torch.__version__)[:2]))
#: Whether hooks may go while steps are taken.
_DROPS_HOOKS = _VERSION < (2, 4)


def attach(optimizer: torch.optim.Optimizer, before: Before, after: After) -> list[Any]:
    """Has both called until ``remove()`` of what is given."""
    if _DROPS_HOOKS or not _calls_hooks(optimizer):
        return [WrappedStep(optimizer, before, after)]
    return [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]


def _calls_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether torch's wrapper is around the step of an optimizer's class."""
    step: Any = type(optimizer).step
    hooking: Any = torch.optim.Optimizer.profile_hook_step(step)
    while step is not None:
        if getattr(step, "__code__", None) is hooking.__code__:
            return True
        step = getattr(step, "__wrapped__", None)
    return False


class WrappedStep:
    """A step of one optimizer or scaler alone, around what was its step before: its class's, or what others have made of that."""

    def __init__(self, optimizer: Any, before: Before, after: After) -> None:
        self._optimizer = optimizer
        self._hooks: tuple[Before, After] | None = (before, after)
        self._former = optimizer.__dict__.get("step")
        inner = optimizer.step

        @functools.wraps(inner)
        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if self._hooks is None:
                return inner(*args, **kwargs)
            before, after = self._hooks
            given: tuple[Any, Any] = (optimizer, *args), kwargs
            given = before(optimizer, *given) or given
            result = inner(*given[0][1:], **given[1])
            after(optimizer, *given)
            return result

        # Schedulers look for the function inside a method.
        self._step = types.MethodType(step, optimizer)
        optimizer.step = self._step

    def remove(self) -> None:
        """Puts the former step back; if others have wrapped this one since, it does nothing but call it."""
        self._hooks = None
        if self._optimizer.__dict__.get("step") is not self._step:
            return
        if self._former is None:
            del self._optimizer.step
        else:
            self._optimizer.step = self._former

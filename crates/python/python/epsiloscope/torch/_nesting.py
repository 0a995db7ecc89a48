"""Steps that call their base class's, whose hooks are the same."""

from __future__ import annotations

import os
import sys
from types import FrameType

__all__ = ["Nesting"]

#: Where the function stands that calls hooks and step.
_OPTIMIZER = os.path.join("optim", "optimizer.py")


class Nesting:
    """Tells whether a hook is called by a step inside the step that it was called by before.

    A count of calls would not do: of a step that ends with an exception no hook tells.
    """

    def __init__(self) -> None:
        self._outer: FrameType | None = None

    def is_nested(self) -> bool:
        """Whether the present step is part of another; the outer one is remembered until it ends."""
        frame: FrameType | None = sys._getframe(1)
        step: FrameType | None = None
        while frame is not None:
            if step is None and frame.f_code.co_filename.endswith(_OPTIMIZER):
                step = frame
                if self._outer is None:
                    break
            if frame is self._outer and frame is not step:
                return True
            frame = frame.f_back
        # Another one than remembered: that has ended with an exception.
        self._outer = step
        return False

    def end_step(self) -> None:
        """The outer step has ended."""
        self._outer = None

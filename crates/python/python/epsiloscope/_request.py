"""What is asked of the extension, as ``crates/python/src/results/request.rs`` reads it."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["request", "several"]


def request(**options: object) -> str:
    """Options by name."""
    return json.dumps(options, allow_nan=False, default=_plain)


def several(given: Any) -> list[Any]:
    """One text or path is a list of one."""
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)


def _plain(value: Any) -> object:
    """What a scalar of NumPy or PyTorch holds."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"expected a number or a text, found {value!r}")

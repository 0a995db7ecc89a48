"""What is asked of the extension, as ``crates/python/src/results/request.rs`` reads it."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["request", "several"]


def request(**options: object) -> str:
    """Options by name."""
    return json.dumps(options)


def several(given: Any) -> list[Any]:
    """One text or path is a list of one."""
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)

"""Runs of gradients that were kept elsewhere; docs/import.md says what they know."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from epsiloscope import _native
from epsiloscope._request import request, several

__all__ = ["import_tensorboard"]


def import_tensorboard(
    logdir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    every_step: bool = False,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    strip_prefix: str = "",
    strip_suffix: str = "",
    separator: str = "",
    optimizer: str | None = None,
    lr: float | None = None,
    eps: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    weight_decay: float = 0.0,
    coupled_weight_decay: float = 0.0,
    clipped: bool = False,
    unscaled: bool = False,
    accumulated_batches: int = 1,
    mode: Literal["calibration", "monitoring"] = "monitoring",
    steps_per_epoch: int | None = None,
    labels: Mapping[str, object] | None = None,
) -> list[Path]:
    """Makes runs of the histograms in event files, as ``epsiloscope import tensorboard`` does, and returns their directories.

    Damaged records, and whatever else is to be known, give a `RuntimeWarning` each; the rest is imported.

    Args:
        logdir: A folder, those below it included, or an event file.
        out: The new run's directory; of several folders of event files, the folder of their runs.
        every_step: Says that histograms were written at every optimizer step, which event files do not say; without it no error
            of a bound is known.
        include: Patterns of the tags to import; all of them, or those that say ``grad`` if some do.
        exclude: Patterns of the tags to leave out.
        strip_prefix: Taken off the beginning of names.
        strip_suffix: Taken off the end of names.
        separator: What names have where parameters have dots.
        optimizer: The optimizer of the training.
        lr: Its learning rate; unknown unless stated, and so are the rates of :func:`candidates`.
        eps: Its ε; the optimizer's default.
        beta1: Decay rate of its first moment.
        beta2: Decay rate of its second moment.
        weight_decay: Its weight decay, coupled or not.
        coupled_weight_decay: The coefficient w of a term w·p that is in the gradients already.
        clipped: The gradients were clipped before they were written down.
        unscaled: A loss scale was divided out of them.
        accumulated_batches: Backward passes that add up to a step.
        mode: Whether the weights were frozen or trained.
        steps_per_epoch: Steps that make an epoch.
        labels: Whatever describes the run.

    Raises:
        FileExistsError: There is a run already.
        FileNotFoundError: There is no such folder or file.
        OSError: A file cannot be read or written.
        ValueError: An option is none, or there is nothing to import.

    """
    options = request(
        every_step=every_step,
        include=several(include),
        exclude=several(exclude),
        strip_prefix=strip_prefix,
        strip_suffix=strip_suffix,
        separator=separator,
        optimizer=optimizer,
        lr=lr,
        eps=eps,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay,
        coupled_weight_decay=coupled_weight_decay,
        clipped=clipped,
        unscaled=unscaled,
        accumulated_batches=accumulated_batches,
        mode=mode,
        steps_per_epoch=steps_per_epoch,
        labels={key: str(value) for key, value in (labels or {}).items()},
    )
    return [Path(run) for run in _native.import_tensorboard(logdir, out, options)]

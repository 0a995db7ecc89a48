"""Recording PyTorch trainings.

One line beside any training loop::

    with epsiloscope.torch.record(model, optimizer, "runs/r-1") as recorder:
        train(model, optimizer)

Gradients are read once per step of the optimizer, by hooks of its own, after everything that changes them: accumulation,
all-reduce, unscaling, clipping. Nothing of the training is changed, and no fault of the recorder's reaches it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import torch
from torch import nn

from epsiloscope._native import RecordingError
from epsiloscope.torch._recorder import Recorder

if TYPE_CHECKING:
    from typing_extensions import Unpack

if not hasattr(torch.optim.Optimizer, "register_step_pre_hook"):
    raise ImportError(f"torch {torch.__version__}: expected 2.2 or newer")

__all__ = ["Recorder", "RecorderOptions", "RecordingError", "calibrate", "record"]

_Dir = str | os.PathLike[str]
_Optimizer = torch.optim.Optimizer


class RecorderOptions(TypedDict, total=False):
    """What :func:`record` and :func:`calibrate` take beside model, optimizer and directory."""

    #: How many values of each tensor are recorded at every step, the same ones, or ``"all"``, or none; 4096.
    magnitudes: int | Literal["all"] | None
    #: Of the draw of those values; 0.
    seed: int
    #: Whether values keep their signs, without which AdaBelief and AdaMomentum cannot be replayed; yes.
    signs: bool
    #: Whether exact histograms of every gradient are written; yes.
    histograms: bool
    #: Records every n-th step only.
    every: int
    #: Records these ranges of steps only: first and last, counted from 1; ``None`` for no last one.
    steps: Sequence[tuple[int, int | None]]
    #: Patterns of names: tensors to record, and those to leave out.
    include: Sequence[str]
    exclude: Sequence[str]
    #: Whose critical ε snapshots hold: of the optimizer's ``"own"`` moments, which costs no memory, or of named optimizers,
    #: whose moments are then kept beside it.
    critical_epsilon: Literal["own"] | Sequence[str] | None
    #: Whether they are binned at every recorded step, not at snapshots alone.
    critical_epsilon_every_step: bool
    #: Takes a snapshot after every n-th step, beside the one at the end.
    snapshot_every: int | None
    #: Whether snapshots hold the critical ε of every element, beside their bins; in a calibration.
    snapshot_elements: bool
    #: For the manifest: backward passes of a step, whether gradients are clipped, and unscaled.
    accumulated_batches: int
    clipped: bool
    unscaled: bool
    #: Whatever tells this run from others.
    labels: Mapping[str, object]
    #: Whether training waits for a disk that is too slow, or drops steps.
    when_full: Literal["wait", "drop"]
    #: Seconds to wait for a disk that takes nothing, and between two writings.
    patience: float
    flush_secs: float
    #: Where gradients are counted: on CUDA devices where they are, else on the CPU.
    count_on: Literal["anywhere", "host", "device"]
    #: Raises what goes wrong, in the training loop.
    strict: bool
    #: The ``GradScaler``, whose skipped steps are then recorded as overflows.
    scaler: Any
    #: Goes on with the run in the directory after this step, or after what ``state_dict()`` gave.
    resume: int | Mapping[str, Any] | None
    #: What to do about a run in the directory.
    if_exists: Literal["error", "replace"]


@overload
def record(model: nn.Module, optimizer: _Optimizer, dir: _Dir, /, **options: Unpack[RecorderOptions]) -> Recorder: ...
@overload
def record(optimizer: _Optimizer, dir: _Dir, /, **options: Unpack[RecorderOptions]) -> Recorder: ...
def record(*arguments: Any, **options: Any) -> Recorder:
    """Records the gradients of a training into a run directory, until the recorder is closed.

    ``record(model, optimizer, dir)`` names tensors as the model does; ``record(optimizer, dir)`` numbers them.
    :class:`RecorderOptions` lists the options.

    Raises:
        FileExistsError: The directory holds a run already.
        RecordingError: It cannot be written, or the run there is another one.
        ValueError: Options or tensors that cannot be recorded.

    """
    return Recorder(*_split(arguments), **options)


@overload
def calibrate(
    model: nn.Module, optimizer: _Optimizer, dir: _Dir, /, **options: Unpack[RecorderOptions]
) -> Recorder: ...
@overload
def calibrate(optimizer: _Optimizer, dir: _Dir, /, **options: Unpack[RecorderOptions]) -> Recorder: ...
def calibrate(*arguments: Any, **options: Any) -> Recorder:
    """Records with the weights frozen, as the method of arXiv 2311.11532 has it: run one epoch of your own loop inside.

    Every step of the optimizer is undone at once. At the end weights, buffers and the optimizer's state are as they were, and
    the run holds the critical ε of every element for Adam, RMSprop, AdaBelief and AdaMomentum
    (``critical_epsilon=`` names others).
    """
    return Recorder(*_split(arguments), mode="calibration", **options)


def _split(arguments: tuple[Any, ...]) -> tuple[nn.Module | None, Any, Any]:
    if len(arguments) == 2:
        return None, *arguments
    if len(arguments) == 3 and isinstance(arguments[0], nn.Module):
        return arguments[0], arguments[1], arguments[2]
    raise TypeError("expected a model, its optimizer and a directory, or an optimizer and a directory")

"""What is to be recorded, as users say it and as the extension reads it (``crates/python/src/recorder/request.rs``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from epsiloscope.torch._optimizers import Kind, coupled_weight_decay, settings
from epsiloscope.torch._parameters import Watched
from epsiloscope.torch._shards import Processes

__all__ = ["PAPER", "Options", "request"]

#: The optimizers of arXiv 2311.11532.
PAPER = ("adam", "rmsprop", "adabelief", "adamomentum")


@dataclass(frozen=True)
class Options:
    """The switches of a recording; docs/python.md explains them."""

    magnitudes: int | Literal["all"] | None = 4096
    seed: int = 0
    signs: bool = True
    histograms: bool = True
    every: int = 1
    steps: Sequence[tuple[int, int | None]] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    critical_epsilon: Literal["own"] | Sequence[str] | None = "own"
    critical_epsilon_every_step: bool = False
    snapshot_every: int | None = None
    snapshot_elements: bool = False
    accumulated_batches: int = 1
    clipped: bool = False
    unscaled: bool = False
    labels: Mapping[str, object] = field(default_factory=dict)
    when_full: Literal["wait", "drop"] = "wait"
    patience: float = 60.0
    flush_secs: float = 5.0
    count_on: Literal["anywhere", "host", "device"] = "anywhere"
    strict: bool = False

    def __post_init__(self) -> None:
        _one_of("when_full", self.when_full, ("wait", "drop"))
        _one_of("count_on", self.count_on, ("anywhere", "host", "device"))
        if isinstance(self.critical_epsilon, str):
            _one_of("critical_epsilon", self.critical_epsilon, ("own",), " or a sequence of optimizers' names")
        for name in ("include", "exclude"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name}: expected a sequence of patterns, found the text {getattr(self, name)!r}")

    @property
    def keeps_moments(self) -> bool:
        """Whether moments are kept beside the optimizer's own."""
        return self.critical_epsilon not in (None, "own") and len(self.critical_epsilon or ()) > 0

    def optimizers(self, kind: Kind) -> list[str]:
        """Whose critical ε are recorded."""
        if self.critical_epsilon is None:
            return []
        if self.critical_epsilon == "own":
            return [kind.moments] if kind.moments else []
        return list(self.critical_epsilon)


def request(
    options: Options,
    tensors: list[Watched],
    groups: list[tuple[Kind, dict[str, Any]]],
    processes: Processes,
    mode: str,
    keeping: set[str],
    resumption: tuple[int, bool] | None,
) -> str:
    """The request for a recording, as JSON.

    ``groups`` are those of the optimizer's parameters, ``keeping`` the tensors whose moments the extension keeps, and a
    ``resumption`` is the step to go on after and whether moments go on, too.
    """
    kind, group = groups[0]
    gradient = {
        "accumulated_batches": options.accumulated_batches,
        "unscaled": options.unscaled,
        "clipped": options.clipped,
        "coupled_weight_decay": max(coupled_weight_decay(kind, group) for kind, group in groups),
    }
    return json.dumps(
        {
            "framework": f"PyTorch {torch.__version__}",
            "optimizer": settings(kind, group),
            "mode": mode,
            "magnitudes": _magnitudes(options),
            "signs": options.signs,
            "histograms": options.histograms,
            "cadence": {
                "every": options.every,
                "ranges": [{"first": first, "last": last} for first, last in options.steps],
            },
            "include": list(options.include),
            "exclude": list(options.exclude),
            "critical_epsilon": options.optimizers(kind),
            "critical_epsilon_every_step": options.critical_epsilon_every_step,
            "snapshot_elements": options.snapshot_elements,
            "gradient": gradient,
            "rank": processes.rank,
            "ranks": {
                "world_size": processes.world_size,
                "gradients": "sharded" if processes.is_sharded else "replicated",
            },
            "labels": _labels(options.labels, groups),
            "waits_when_full": options.when_full == "wait",
            "patience_secs": options.patience,
            "flush_secs": options.flush_secs,
            "threads": torch.get_num_threads(),
            "tensors": [
                {
                    "name": each.name,
                    "shape": each.part.shape,
                    "whole": each.part.whole,
                    "offset": each.part.offset,
                    "keeps_moments": each.name in keeping,
                }
                for each in tensors
            ],
            "resumption": resumption
            and {
                "after_step": resumption[0],
                "moments_restored": resumption[1] or not options.keeps_moments,
            },
        }
    )


def _magnitudes(options: Options) -> dict[str, Any]:
    if options.magnitudes == "all":
        return {"policy": "all"}
    if not options.magnitudes:
        return {"policy": "none"}
    return {"policy": "sample", "elements_per_tensor": options.magnitudes, "seed": options.seed}


def _labels(given: Mapping[str, object], groups: list[tuple[Kind, dict[str, Any]]]) -> dict[str, str]:
    """The user's labels, and the settings of each parameter group where they differ: the manifest has the first's."""
    labels = {key: str(value) for key, value in given.items()}
    all_settings = [settings(kind, group) for kind, group in groups]
    for index, of_group in enumerate(all_settings if any(each != all_settings[0] for each in all_settings) else ()):
        labels.setdefault(f"parameter_group.{index}", json.dumps(of_group, sort_keys=True))
    return labels


def _one_of(name: str, found: object, expected: tuple[str, ...], more: str = "") -> None:
    if found not in expected:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, expected))}{more}, found {found!r}")

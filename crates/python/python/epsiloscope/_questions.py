"""Questions to recorded runs, with the options of the command line.

Runs are paths of run directories or of folders that contain some, patterns such as ``"runs/**/seed-*"``, or URLs (``s3://``,
``gs://``, ``az://``, ``https://``); one or several. Of runs that cannot be read or answered a `RuntimeWarning` is given
each, and the others' results come; if there is no result at all, the first fault is raised.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from epsiloscope import _native
from epsiloscope._request import request, several
from epsiloscope._tables import Candidates, Estimates, Histograms, Table

__all__ = ["analyze", "candidates", "estimate", "histogram"]

Path = str | os.PathLike[str]
Scope = Literal["tensor", "layer", "kind", "run"]
Combination = Literal["extremes", "pooled", "robust"]


def estimate(
    runs: Path | Iterable[Path],
    *,
    optimizer: str | Iterable[str] | None = None,
    percentile: float = 0.98,
    beta1: float | None = None,
    beta2: float | None = None,
    from_: Literal["moments", "gradient"] | None = None,
    at: str | int = "last",
    per: Scope = "run",
    combination: Combination | Iterable[Combination] = "extremes",
    confidence: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Estimates:
    """Where ε is worth searching: what ``epsiloscope estimate`` answers.

    Args:
        runs: Recorded runs.
        optimizer: Optimizers, each with the ε of an implementation, such as ``"adamw"`` or ``"keras-adam"``; those of the
            paper that the runs tell of unless named.
        percentile: The share of each tensor's elements that its upper bound leaves below it, and its lower bound above it.
        beta1: Decay rate of the first moment; as recorded, else 0.9.
        beta2: Decay rate of the second moment; as recorded, else 0.999.
        from_: What critical ε are read off; gradients of imported histograms, else moments.
        at: After which steps: ``"last"``, ``"epoch"``, ``"every:N"``, ``"all"``, or a step.
        per: One row per run, or per kind of parameter, layer or tensor.
        combination: How the tensors' bounds become one. Several give a row each.
        confidence: The probability with which the intervals of a sample hold.
        bootstrap: Resamples behind bootstrap intervals, 0 for none.
        seed: Of the resamples.

    Raises:
        ValueError: An option is none, or the runs do not hold what is asked for, or are damaged.
        FileNotFoundError: There is no run where one was named.
        OSError: A file cannot be read.

    """
    asked = request(
        whose=_whose(optimizer, percentile, beta1, beta2, from_),
        at=str(at),
        per=per,
        combination=several(combination),
        confidence=confidence,
        bootstrap=bootstrap,
        seed=seed,
    )
    return Estimates(_native.estimate(several(runs), asked))


def histogram(
    runs: Path | Iterable[Path],
    *,
    per: Scope = "tensor",
    quantity: str | Iterable[str] = (),
    window: str | int = "run",
    bins_per_decade: int = 40,
    from_: Literal["histograms", "magnitudes"] | None = None,
) -> Histograms:
    """Gradient magnitude histograms, a row per bin: what ``epsiloscope histogram`` answers.

    Args:
        runs: Recorded runs.
        per: One histogram per tensor, layer or kind, or one over all tensors.
        quantity: Quantities, such as ``"gradient"`` or ``"critical_epsilon.adam"``; all unless named.
        window: Steps to add: ``"run"``, ``"epoch"``, every so many, or ``"A..B"``.
        bins_per_decade: 1, 2, 4, 5, 8, 10, 20 or 40.
        from_: Which table of the run to count; histograms where there are some.

    Raises:
        ValueError: As `estimate`.
        FileNotFoundError: As `estimate`.
        OSError: As `estimate`.

    """
    asked = request(
        per=per, quantity=several(quantity), window=str(window), bins_per_decade=bins_per_decade, from_=from_
    )
    return Histograms(_native.histogram(several(runs), asked))


def candidates(
    runs: Path | Iterable[Path],
    *,
    optimizer: str | Iterable[str] | None = None,
    percentile: float = 0.98,
    beta1: float | None = None,
    beta2: float | None = None,
    from_: Literal["moments", "gradient"] | None = None,
    at: str | int = "last",
    combination: Combination = "extremes",
    epsilon: float | Iterable[float] = (),
    lr: float | None = None,
    points: int | None = None,
    per: Scope = "run",
    range: str = "images",
    view: Literal["candidates", "narrowing"] = "candidates",
) -> Candidates:
    """Which values of ε to try, each with its learning rate: what ``epsiloscope candidates`` answers.

    Args:
        runs: Recorded runs.
        optimizer: As for `estimate`, like the options up to `at`.
        percentile: Also the quantiles of effective rates that are shown.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        from_: What critical ε are read off.
        at: After which steps.
        combination: How the tensors' bounds become the search space.
        epsilon: Values of ε to look at; a grid over the search space unless named.
        lr: The learning rate at the run's own ε; the run's.
        points: Points of the grid, evenly apart in decades; every power of ten.
        per: Shares and rates over the run, or over each kind of parameter, layer or tensor.
        range: What the search space is compared with: ``"images"``, ``"language"`` or such as ``"1e-8..1e-1"``.
        view: What each ε does, or how much narrower the search space is than trial and error.

    Raises:
        ValueError: As `estimate`.
        FileNotFoundError: As `estimate`.
        OSError: As `estimate`.

    """
    asked = request(
        whose=_whose(optimizer, percentile, beta1, beta2, from_),
        at=str(at),
        combination=combination,
        epsilon=[epsilon] if isinstance(epsilon, (int, float)) else [float(of) for of in epsilon],
        lr=lr,
        points=points,
        per=per,
        range=range,
        view=view,
    )
    return Candidates(_native.candidates(several(runs), asked))


def analyze(
    runs: Path | Iterable[Path],
    out: Path,
    *,
    optimizer: str | Iterable[str] | None = None,
    percentile: float = 0.98,
    beta1: float | None = None,
    beta2: float | None = None,
    from_: Literal["moments", "gradient"] | None = None,
    at: str | int = "epoch",
    window: str | int = "epoch",
) -> Table:
    """Brings a Parquet data set of all results up to date, as ``epsiloscope analyze`` does; a row per run says what was done.

    Args:
        runs: Recorded runs.
        out: Directory of the data set; an absent one is made.
        optimizer: As for `estimate`, like the options up to `from_`.
        percentile: As for `estimate`.
        beta1: As for `estimate`.
        beta2: As for `estimate`.
        from_: As for `estimate`.
        at: Bounds after which steps; of runs without epochs after the last.
        window: Histograms of which steps, as for `histogram`; of runs without epochs of all.

    Raises:
        ValueError: As `estimate`.
        FileNotFoundError: As `estimate`.
        OSError: As `estimate`; also if another process is writing the data set.

    """
    asked = request(whose=_whose(optimizer, percentile, beta1, beta2, from_), at=str(at), window=str(window))
    return Table(_native.analyze(several(runs), out, asked))


def _whose(
    optimizer: str | Iterable[str] | None,
    percentile: float,
    beta1: float | None,
    beta2: float | None,
    from_: str | None,
) -> dict[str, object]:
    named = [] if optimizer is None else several(optimizer)
    return {"optimizer": named, "percentile": percentile, "beta1": beta1, "beta2": beta2, "from_": from_}

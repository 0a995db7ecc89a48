"""Results: tables that other libraries read where they lie, and what notebooks show of them."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Literal

from epsiloscope import _native

Theme = Literal["light", "dark"]

__all__ = ["Candidates", "Estimates", "Histograms", "Table"]


class Table:
    """Rows of recorded runs.

    Whatever speaks the Arrow PyCapsule interface takes it: ``polars.DataFrame(table)``, ``pandas.DataFrame.from_arrow(table)``,
    ``pyarrow.table(table)``, ``duckdb.sql("FROM table")``. Numbers are not copied.
    """

    def __init__(self, results: _native.Results) -> None:
        self._results = results

    def __len__(self) -> int:
        return len(self._results)

    @property
    def columns(self) -> list[str]:
        """Names of the columns; ``epsiloscope schema`` says what is in them."""
        return list(self.schema)

    @property
    def schema(self) -> dict[str, str]:
        """Types of the columns."""
        return dict(self._results.schema())

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for few of them."""
        return self._results.rows()

    def svg(self, theme: Theme = "light") -> str:
        """The picture."""
        return self._results.svg(theme)

    def plot(self, out: str | os.PathLike[str], *, theme: Theme = "light", scale: float = 2.0) -> None:
        """Writes the picture, as SVG or PNG by the name of the file; `scale` is pixels of a PNG to one of the picture."""
        path = Path(out)
        kind = path.suffix.lower()
        if kind not in (".svg", ".png"):
            raise ValueError(f"{path}: expected a name that ends in .svg or .png")
        path.write_bytes(self.svg(theme).encode() if kind == ".svg" else self._results.png(theme, scale))

    def __arrow_c_schema__(self) -> object:
        return self._results.arrow_schema()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        # Consumers cast to what they asked for; the interface leaves that to them.
        return self._results.arrow_stream()

    def __repr__(self) -> str:
        return self._results.text().rstrip("\n")

    def _repr_html_(self) -> str:
        """The table, in the notebook's colours, and the picture, which brings its own ground.

        The picture is an image by itself, so that neither its names nor its styles meet those of the page.
        """
        return self._image() + self._results.html()

    def _image(self) -> str:
        try:
            svg = self.svg()
        except ValueError:
            # There is nothing to draw, or more than any page has room for.
            return ""
        data = base64.b64encode(svg.encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{data}" alt="{type(self).__name__}" style="max-width: 100%">\n'


class Histograms(Table):
    """Gradient magnitude histograms, a row per bin that is not empty."""


class Candidates(Table):
    """What values of ε do, and at which learning rates to try them."""


class Estimates(Table):
    """Search spaces of ε, a row per run and optimizer, or per step and part of a run.

    Of a single row everything can be asked by name.
    """

    @property
    def run(self) -> str:
        """The run."""
        return self._single("run")

    @property
    def optimizer(self) -> str:
        """Whose ε."""
        return self._single("optimizer")

    @property
    def lower(self) -> float:
        """The lower bound of ε."""
        return self._single("lower")

    @property
    def upper(self) -> float:
        """The upper bound of ε."""
        return self._single("upper")

    @property
    def search_space(self) -> tuple[float, float]:
        """The powers of ten that are nearest to the bounds."""
        return self._single("search_lower"), self._single("search_upper")

    def suggest(self, trial: Any, name: str = "epsilon") -> float:
        """An ε of the search space for a trial of Optuna, uniform in its logarithm."""
        low, high = self.search_space
        return trial.suggest_float(name, low, high, log=True)

    def _single(self, column: str) -> Any:
        if len(self) != 1:
            raise ValueError(f"{len(self)} estimates: expected one, of one run and optimizer=, to ask for its {column}")
        return self.to_dicts()[0][column]

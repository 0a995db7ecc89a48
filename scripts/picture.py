"""Draws docs/search-space.svg, the picture of the README, from the tables that scripts/demo.sh leaves.

    scripts/demo.sh && .venv/bin/pip install matplotlib && .venv/bin/python scripts/picture.py
"""

import json
import subprocess
from pathlib import Path

import matplotlib
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "runs" / "calibration"


def epsiloscope(*arguments):
    output = subprocess.run([ROOT / "target/debug/epsiloscope", *arguments], check=True, capture_output=True)
    return json.loads(output.stdout)


def histogram(quantity):
    rows = epsiloscope("histogram", RUN, "--per", "run", "--format", "json")
    rows = [row for row in rows if row["quantity"] == quantity]
    # One point per bin, empty ones included, so that the steps close.
    density = {row["bin"]: row["density"] for row in rows}
    bins = range(min(density) - 1, max(density) + 2)
    return [10 ** (b / 40) for b in bins], [density.get(b, 0.0) for b in bins]


def main():
    matplotlib.rcParams["svg.hashsalt"] = "epsiloscope"
    (estimate,) = epsiloscope("estimate", RUN, "--optimizer", "adam", "--format", "json")
    figure, axes = pyplot.subplots(figsize=(8.5, 3.6), layout="constrained")
    axes.axvspan(estimate["search_lower"], estimate["search_upper"], color="#f0c808", alpha=0.35, lw=0)
    axes.axvline(estimate["own_epsilon"], color="#c1121f", lw=1.5, ls="--")
    for quantity, color, label in [
        ("gradient", "#6b7a8f", "gradient magnitudes of all steps"),
        ("critical_epsilon.adam", "#0b3c5d", "critical ε of Adam after the last step"),
    ]:
        x, y = histogram(quantity)
        axes.step(x, y, where="post", color=color, lw=1.4, label=label)
    top = 1.15 * axes.get_ylim()[1]
    lower, upper = estimate["search_lower"], estimate["search_upper"]
    axes.text((lower * upper) ** 0.5, top * 0.97, "search ε here", ha="center", va="top")
    axes.text(estimate["own_epsilon"] * 1.25, top * 0.97, "default ε, 1e-8: hardly any effect", va="top", color="#c1121f")
    axes.set(xscale="log", xlim=(1e-9, 1), ylim=(0, top), xlabel="magnitude", ylabel="probability density per decade")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.14, 0.55))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs/search-space.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Heat maps: the metric over ε and learning rate, with the bounds drawn in."""

import math

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot


def cells(experiment, optimizer, points):
    """The metric by learning rate and ε, ascending; NaN where nothing was learned."""
    exponents = experiment.exponents(optimizer)
    rates = sorted(float(rate) for rate in experiment.workload.rates)
    grid = [[math.nan] * len(exponents) for _ in rates]
    for point in points:
        if point["value"] is not None:
            grid[rates.index(point["lr"])][exponents.index(round(math.log10(point["epsilon"])))] = point["value"]
    return exponents, rates, grid


def heat_map(path, experiment, optimizer, bounds, points):
    exponents, rates, grid = cells(experiment, optimizer, points)
    matplotlib.rcParams["svg.hashsalt"] = "epsiloscope"
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    good_is_bright = "viridis" if experiment.workload.goal == "maximize" else "viridis_r"
    image = axes.pcolormesh(exponents, range(len(rates)), grid, shading="nearest", cmap=good_is_bright)
    figure.colorbar(image, label=experiment.workload.metric.replace("_", " "))
    for end in ("search_lower", "search_upper"):
        axes.axvline(math.log10(bounds[end]), color="#c1121f", lw=2)
    for point in points:
        if point["good"]:
            place = math.log10(point["epsilon"]), rates.index(point["lr"])
            axes.plot(*place, marker="*" if point["best"] else "o", color="#c1121f", mec="white", ms=11 if point["best"] else 6)
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set(xlabel="log10 ε; red: the estimated search space, star: best, dots: within noise of it", ylabel="learning rate")
    axes.set_title(f"{experiment.workload.name}, {optimizer}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)

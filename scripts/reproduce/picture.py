"""Heat maps: the metric over ε and learning rate, with the bounds drawn in."""

import math

import judge
import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

# Bars above a map, from the paper's bounds on; told apart by place and by colour.
COLOURS = {"extremes": "#c1121f", "robust": "#f77f00", "pooled": "#577590"}


def cells(experiment, optimizer, points):
    """The metric by learning rate and ε, ascending; NaN where nothing was learned."""
    exponents = experiment.exponents(optimizer)
    rates = sorted(float(rate) for rate in experiment.workload.rates)
    grid = [[math.nan] * len(exponents) for _ in rates]
    for point in points:
        if point["value"] is not None:
            grid[rates.index(point["lr"])][exponents.index(round(math.log10(point["epsilon"])))] = point["value"]
    return exponents, rates, grid


def heat_maps(path, experiment, panels):
    """A map per optimizer of one workload: its points, and the bounds by combination."""
    matplotlib.rcParams["svg.hashsalt"] = "epsiloscope"
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5.4), layout="constrained", squeeze=False)
    for place, (optimizer, (points, spaces)) in zip(axes.flat, panels.items()):
        heat_map(place, experiment, optimizer, points, spaces)
    for place in axes.flat[len(panels) :]:
        place.set_axis_off()
    names = [pyplot.Line2D([], [], color=colour, lw=3, label=name) for name, colour in COLOURS.items()]
    marks = [
        pyplot.Line2D([], [], color="black", marker=marker, ls="", label=label)
        for marker, label in (("*", "best"), ("o", "within noise of it"))
    ]
    figure.legend(handles=[*names, *marks], loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def heat_map(axes, experiment, optimizer, points, spaces):
    exponents, rates, grid = cells(experiment, optimizer, points)
    good_is_bright = "viridis" if experiment.workload.goal == "maximize" else "viridis_r"
    limits = competing(points)
    image = axes.pcolormesh(exponents, range(len(rates)), grid, shading="nearest", cmap=good_is_bright, vmin=limits[0], vmax=limits[1])
    axes.figure.colorbar(image, label=experiment.workload.metric.replace("_", " "), extend="both")
    for row, (combination, colour) in enumerate(COLOURS.items()):
        space = spaces[combination]
        ends = [math.log10(space[end]) for end in ("search_lower", "search_upper")]
        axes.plot(ends, [len(rates) - 0.3 + 0.22 * row] * 2, color=colour, lw=3, solid_capstyle="butt")
    for point in points:
        if point["good"]:
            place = math.log10(point["epsilon"]), rates.index(point["lr"])
            axes.plot(*place, marker="*" if point["best"] else "o", color="white", mec="black", ms=11 if point["best"] else 6)
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_ylim(-0.5, len(rates) + 0.3)
    axes.set(xlabel="log10 ε", ylabel="learning rate")
    axes.set_title(f"{experiment.workload.name}, {optimizer}", fontsize=10)


def competing(points):
    """The range of colours: from the median metric to the best, since one that diverged would hide all others."""
    values = sorted(point["value"] for point in points if point["value"] is not None)
    if not values:
        return None, None
    middle = values[len(values) // 2]
    best = judge.best_point(points)["value"]
    return (min(middle, best), max(middle, best)) if middle != best else (values[0], values[-1])

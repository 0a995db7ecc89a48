"""What the trials of a sweep say: which points are good, and how soon a search meets one. Pure functions."""

import math
import statistics

# Ends of a grid and of bounds are powers of ten; what is equal must not differ by a rounding.
SLACK = 1e-9


def points(trials, goal):
    """What came of each combination: mean and spread over the seeds, whether it is the best, and whether it is good.

    Good is the best and what lies within noise of it: what is worse by at most t·s·sqrt(2/K), for K seeds, the standard
    deviation s of what neither point nor seed explains, and the one-sided 95 % of Student's t. That deviation is taken over
    the better half of the points, since those compete; the worse ones would make it greater.
    """
    indices = dict.fromkeys(trial["point"] for trial in trials)
    found = [of_trials([trial for trial in trials if trial["point"] == index]) for index in indices]
    ranked = sorted((point for point in found if point["value"] is not None), key=lambda point: cost(point["value"], goal))
    noise = residual_noise([point["values"] for point in ranked[: max(2, len(ranked) // 2)]])
    for place, point in enumerate(ranked):
        behind = cost(point["value"], goal) - cost(ranked[0]["value"], goal)
        point["best"] = place == 0
        point["good"] = point["best"] or (noise is not None and behind <= noise)
    return found


def of_trials(trials):
    values = [trial["value"] for trial in sorted(trials, key=lambda trial: trial["seed"])]
    has_value = None not in values
    return {
        "epsilon": trials[0]["epsilon"], "lr": trials[0]["lr"], "values": values,
        "value": statistics.fmean(values) if has_value else None,
        "spread": statistics.stdev(values) if has_value and 1 < len(values) else None,
        "best": False, "good": False,
    }


def cost(value, goal):
    return -value if goal == "maximize" else value


def residual_noise(rows):
    """The difference of two points' means that noise explains; none with one point or one seed."""
    n, seeds = len(rows), len(rows[0]) if rows else 0
    if n < 2 or seeds < 2:
        return None
    mean = statistics.fmean(value for row in rows for value in row)
    of_points = [statistics.fmean(row) for row in rows]
    of_seeds = [statistics.fmean(row[seed] for row in rows) for seed in range(seeds)]
    unexplained = lambda point, seed: rows[point][seed] - of_points[point] - of_seeds[seed] + mean
    squares = sum(unexplained(point, seed) ** 2 for point in range(n) for seed in range(seeds))
    degrees = (n - 1) * (seeds - 1)
    return t_95(degrees) * math.sqrt(squares / degrees * 2 / seeds)


def t_95(degrees):
    """Student's t below which 95 % lie: Fisher's expansion of the normal one, good to 1 % from three degrees on."""
    z = statistics.NormalDist().inv_cdf(0.95)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (power + 1) for power, term in enumerate(terms))


def told_point(workload, optimizer, point):
    """A point as a row of a table; the values of its seeds in one cell."""
    values = " ".join("" if value is None else repr(value) for value in point["values"])
    return {"workload": workload, "optimizer": optimizer, **point, "values": values}


def inside(points, found):
    """Points whose ε lies within the search space, ends included."""
    low, high = math.log10(found["search_lower"]) - SLACK, math.log10(found["search_upper"]) + SLACK
    return [point for point in points if low <= math.log10(point["epsilon"]) <= high]


def chance_inside(points, found):
    """The share of all search spaces with as many of the sweep's ε in a row that hold a good point."""
    epsilons = sorted({point["epsilon"] for point in points})
    n_inside = len({point["epsilon"] for point in inside(points, found)})
    if n_inside == 0:
        return None
    good = {point["epsilon"] for point in points if point["good"]}
    spaces = [epsilons[start : start + n_inside] for start in range(len(epsilons) - n_inside + 1)]
    return statistics.fmean(not good.isdisjoint(space) for space in spaces)


def best_point(points):
    """The best point, if any has a metric."""
    return next((point for point in points if point["best"]), None)


def best_value(points, goal):
    """The best metric among points, if any has one."""
    values = [point["value"] for point in points if point["value"] is not None]
    return (max if goal == "maximize" else min)(values, default=None)


def random_count(points):
    """Draws expected until the first good point, without replacement: (N+1)/(G+1) of N points, G of them good."""
    n_good = sum(point["good"] for point in points)
    return (len(points) + 1) / (n_good + 1) if n_good else None

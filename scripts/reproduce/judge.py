"""What the sweeps say of the bounds: pure functions of their tables, and how these are written."""

import csv
import math
import statistics
from pathlib import Path

# Ends of a grid and of bounds are powers of ten; what is equal must not differ by a rounding.
SLACK = 1e-9


def bounds(estimates, optimizer):
    """The estimate after the last step."""
    rows = [row for row in estimates if row["optimizer"] == optimizer and row["scope"] == "run"]
    return max(rows, key=lambda row: row["step"])


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


def shifts(workload, estimates, fractions):
    """How far the bounds of shortened calibrations lie from the whole one's."""
    found = []
    for optimizer in dict.fromkeys(row["optimizer"] for row in estimates):
        whole = bounds(estimates, optimizer)
        for share, step in fractions.items():
            rows = [row for row in estimates if row["optimizer"] == optimizer and row["scope"] == "run" and row["step"] == step]
            for row in rows:
                found.append({
                    "workload": workload, "optimizer": optimizer, "share": share, "step": step,
                    "lower": row["lower"], "upper": row["upper"],
                    "lower_shift": decades(whole["lower"], row["lower"]), "upper_shift": decades(whole["upper"], row["upper"]),
                    "same_space": (row["search_lower"], row["search_upper"]) == (whole["search_lower"], whole["search_upper"]),
                })
    return found


def decades(low, high):
    return math.log10(high) - math.log10(low)


def inside(points, found):
    """Points whose ε lies within the search space, ends included."""
    low, high = math.log10(found["search_lower"]) - SLACK, math.log10(found["search_upper"]) + SLACK
    return [point for point in points if low <= math.log10(point["epsilon"]) <= high]


def best_value(points, goal):
    """The best metric among points, if any has one."""
    values = [point["value"] for point in points if point["value"] is not None]
    return (max if goal == "maximize" else min)(values, default=None)


def random_count(points):
    """Draws expected until the first good point, without replacement: (N+1)/(G+1) of N points, G of them good."""
    n_good = sum(point["good"] for point in points)
    return (len(points) + 1) / (n_good + 1) if n_good else None


def row(experiment, optimizer, found, points, cross_entropy):
    """One workload and optimizer."""
    goal = experiment.workload.goal
    exponents = experiment.exponents(optimizer)
    wide, width = exponents[-1] - exponents[0], decades(found["search_lower"], found["search_upper"])
    within = inside(points, found)
    best = next((point for point in points if point["best"]), None)
    values = best_value(points, goal), best_value(within, goal)
    return {
        "workload": experiment.workload.name,
        "optimizer": optimizer,
        "metric": experiment.workload.metric,
        "seeds": experiment.workload.seeds,
        "lower": found["lower"],
        "upper": found["upper"],
        "search_lower": found["search_lower"],
        "search_upper": found["search_upper"],
        "decades": width,
        "wide_decades": float(wide),
        "narrowing": wide / width if SLACK < width else None,
        "best_epsilon": best and best["epsilon"],
        "best_lr": best and best["lr"],
        "best_value": best and best["value"],
        "best_spread": best and best["spread"],
        "good_points": sum(point["good"] for point in points),
        "points": len(points),
        "best_inside": best in within if best else None,
        "good_inside": any(point["good"] for point in within),
        "lost": None if None in values else abs(values[0] - values[1]),
        "random_wide": random_count(points),
        "random_bounds": random_count(within),
        "cross_entropy_wide": cross_entropy["wide"],
        "cross_entropy_bounds": cross_entropy["bounds"],
    }


def write(out, rows, shifts):
    """Both tables, as CSV."""
    for name, table in [("table.csv", rows), ("shortened.csv", shifts)]:
        if table:
            path = Path(out) / name
            temporary = path.with_suffix(".tmp")
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, table[0])
                writer.writeheader()
                writer.writerows(table)
            temporary.replace(path)


def told(rows, shifts):
    """Both tables, for people."""
    columns = ("workload", "optimizer", "search_lower", "search_upper", "decades", "wide_decades", "narrowing", "best_epsilon",
               "best_lr", "best_value", "good_points", "points", "best_inside", "good_inside", "lost", "random_wide",
               "random_bounds", "cross_entropy_wide", "cross_entropy_bounds")
    of_shifts = ("workload", "optimizer", "share", "lower_shift", "upper_shift", "same_space")
    return f"{aligned(rows, columns)}\n\n{aligned(shifts, of_shifts)}"


def aligned(rows, columns):
    cells = [columns, *([shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def shown(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

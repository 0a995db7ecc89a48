"""What sweeps and calibrations together say of the bounds: the rows of every table. Pure functions."""

import math
import statistics

import judge


def bounds(estimates, optimizer, combination):
    """The estimate after the last step."""
    return max(of_run(estimates, optimizer, combination), key=lambda row: row["step"])


def of_run(estimates, optimizer, combination):
    wanted = (optimizer, combination, "run")
    return [row for row in estimates if (row["optimizer"], row["combination"], row["scope"]) == wanted]


def decades(low, high):
    return math.log10(high) - math.log10(low)


def narrowing(wide, found):
    """How many times narrower than the default range a search space is; none for one of a single value."""
    width = decades(found["search_lower"], found["search_upper"])
    return wide / width if judge.SLACK < width else None


def swept(experiment, optimizer, points, n_cross_entropy):
    """What one sweep found, whatever the bounds."""
    best = judge.best_point(points)
    return {
        "workload": experiment.workload.name,
        "optimizer": optimizer,
        "metric": experiment.workload.metric,
        "seeds": experiment.workload.seeds,
        "wide_decades": float(experiment.decades(optimizer)),
        "points": len(points),
        "good_points": sum(point["good"] for point in points),
        "best_epsilon": best and best["epsilon"],
        "best_lr": best and best["lr"],
        "best_value": best and best["value"],
        "best_spread": best and best["spread"],
        "random_wide": judge.random_count(points),
        "cross_entropy_wide": n_cross_entropy,
    }


def bounded(experiment, optimizer, calibrations, points, n_cross_entropy):
    """What one combination's bounds come to: the first calibration's, the other seeds' for the spread of the narrowing."""
    goal = experiment.workload.goal
    wide = experiment.decades(optimizer)
    found = calibrations[0]
    within = judge.inside(points, found)
    best = judge.best_point(points)
    values = judge.best_value(points, goal), judge.best_value(within, goal)
    of_seeds = [ratio for ratio in (narrowing(wide, of_seed) for of_seed in calibrations) if ratio is not None]
    return {
        "workload": experiment.workload.name,
        "optimizer": optimizer,
        "combination": found["combination"],
        "lower": found["lower"],
        "lower_tensor": found["lower_tensor"],
        "upper": found["upper"],
        "upper_tensor": found["upper_tensor"],
        "search_lower": found["search_lower"],
        "search_upper": found["search_upper"],
        "decades": decades(found["search_lower"], found["search_upper"]),
        "narrowing": narrowing(wide, found),
        "narrowing_low": min(of_seeds, default=None),
        "narrowing_high": max(of_seeds, default=None),
        "points_inside": len(within),
        "best_inside": best in within if best else None,
        "good_inside": any(point["good"] for point in within) if within else None,
        "chance_inside": judge.chance_inside(points, found),
        "lost": None if None in values else abs(values[0] - values[1]),
        "random_bounds": judge.random_count(within),
        "cross_entropy_bounds": n_cross_entropy,
    }


def shortened(workload, estimates, fractions):
    """How far the bounds of shortened calibrations lie from the whole one's."""
    found = []
    for optimizer, combination in dict.fromkeys((row["optimizer"], row["combination"]) for row in estimates):
        whole = bounds(estimates, optimizer, combination)
        by_step = {row["step"]: row for row in of_run(estimates, optimizer, combination)}
        for share, step in fractions.items():
            if row := by_step.get(step):
                found.append({
                    "workload": workload, "optimizer": optimizer, "combination": combination, "share": share, "step": step,
                    "lower": row["lower"], "upper": row["upper"],
                    "lower_shift": decades(whole["lower"], row["lower"]), "upper_shift": decades(whole["upper"], row["upper"]),
                    "same_space": (row["search_lower"], row["search_upper"]) == (whole["search_lower"], whole["search_upper"]),
                })
    return found


def summary(rows):
    """Of each combination, over all workloads and optimizers: how narrow, and whether a good point lies inside."""
    found = []
    for combination in dict.fromkeys(row["combination"] for row in rows):
        of = [row for row in rows if row["combination"] == combination]
        ratios = [row["narrowing"] for row in of if row["narrowing"] is not None]
        judged = [row for row in of if row["good_inside"] is not None]
        worst = min((row for row in of if row["narrowing"] is not None), key=lambda row: row["narrowing"], default=None)
        found.append({
            "combination": combination,
            "cases": len(of),
            "worst_narrowing": worst and worst["narrowing"],
            "worst_low": worst and worst["narrowing_low"],
            "worst_high": worst and worst["narrowing_high"],
            "worst_case": worst and f"{worst['workload']}, {worst['optimizer']}",
            "median_narrowing": statistics.median(ratios) if ratios else None,
            "best_narrowing": max(ratios, default=None),
            "at_least_twice": sum(2 - judge.SLACK <= ratio for ratio in ratios),
            "judged": len(judged),
            "best_inside": sum(bool(row["best_inside"]) for row in judged),
            "good_inside": sum(row["good_inside"] for row in judged),
            "by_chance": sum(row["chance_inside"] for row in judged),
        })
    return found


def moved(rows):
    """Of each combination and share of a calibration: how many bounds lie more than half a decade off the whole one's."""
    found = []
    for combination, share in dict.fromkeys((row["combination"], row["share"]) for row in rows):
        of = [row for row in rows if (row["combination"], row["share"]) == (combination, share)]
        shifts = [max(abs(row["lower_shift"]), abs(row["upper_shift"])) for row in of]
        found.append({
            "combination": combination, "share": share, "cases": len(of),
            "over_half_a_decade": sum(0.5 + judge.SLACK < shift for shift in shifts),
            "median_shift": statistics.median(shifts), "greatest_shift": max(shifts),
        })
    return found

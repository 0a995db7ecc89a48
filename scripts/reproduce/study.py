"""The experiment: calibrates, estimates, sweeps, judges; goes on where it was interrupted."""

import judge
import picture
import plan
import run
import tables
import verdict


def study(experiments, out, jobs):
    """The rows of every table, which are written after every sweep, beside the workload's heat maps."""
    found = {"sweeps": [], "bounds": [], "points": [], "shortened": [], "moved": [], "summary": []}
    for experiment in experiments:
        workload = experiment.workload
        run.say(f"{workload.name}: {plan.CALIBRATIONS} calibrations")
        of_seeds = [run.estimates(run.calibrate(workload, out, seed), seed) for seed in range(plan.CALIBRATIONS)]
        found["shortened"] += verdict.shortened(workload.name, of_seeds[0], workload.fractions())
        found["moved"] = verdict.moved(found["shortened"])
        panels = {}
        for optimizer in experiment.optimizers:
            n_points = experiment.n_points(optimizer)
            run.say(f"{workload.name}, {optimizer}: sweep of {n_points} points, {workload.seeds} seeds each")
            points = judge.points(run.sweep(experiment, optimizer, out, jobs), workload.goal)
            spaces = {
                combination: [verdict.bounds(estimates, optimizer, combination) for estimates in of_seeds]
                for combination in plan.COMBINATIONS
            }
            panels[optimizer] = points, {combination: of[0] for combination, of in spaces.items()}
            n_wide, n_bounds = run.cross_entropy_counts(experiment, optimizer, points, spaces["extremes"][0], out)
            found["sweeps"].append(verdict.swept(experiment, optimizer, points, n_wide))
            # Searches are replayed within the paper's bounds alone.
            found["bounds"] += [
                verdict.bounded(experiment, optimizer, of, points, n_bounds if combination == "extremes" else None)
                for combination, of in spaces.items()
            ]
            found["points"] += [judge.told_point(workload.name, optimizer, point) for point in points]
            found["summary"] = verdict.summary(found["bounds"])
            picture.heat_maps(out / "heat-maps" / f"{workload.name}.svg", experiment, panels)
            tables.write(out, found)
    return found

"""The experiment: calibrates, estimates, sweeps, judges; goes on where it was interrupted."""

import judge
import picture
import run


def study(experiments, out, jobs):
    """The rows of both tables, which are written after every combination, beside its heat map."""
    rows, shifts = [], []
    for experiment in experiments:
        workload = experiment.workload
        run.say(f"{workload.name}: calibration")
        estimates = run.estimates(run.calibrate(workload, out))
        shifts += judge.shifts(workload.name, estimates, workload.fractions())
        for optimizer in experiment.optimizers:
            n_points = experiment.n_points(optimizer)
            run.say(f"{workload.name}, {optimizer}: sweep of {n_points} points, {workload.seeds} seeds each")
            points = judge.points(run.sweep(experiment, optimizer, out, jobs), workload.goal)
            bounds = judge.bounds(estimates, optimizer)
            counts = run.cross_entropy_counts(experiment, optimizer, points, bounds, out)
            rows.append(judge.row(experiment, optimizer, bounds, points, counts))
            picture.heat_map(out / "heat-maps" / f"{workload.name}-{optimizer}.svg", experiment, optimizer, bounds, points)
            judge.write(out, rows, shifts)
    return rows, shifts

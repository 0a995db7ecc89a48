"""What is trained: workloads, optimizers, grids; fixed beforehand, so that results depend on files, plan and seeds alone."""

from dataclasses import dataclass, replace

OPTIMIZERS = ("adam", "rmsprop", "adabelief", "adamomentum")
IN_PLACE = ("adabelief", "adamomentum")
# The grids of the authors' published experiments: first exponent, last, step.
GRIDS = {
    ("images", False): (-8, -1, 1),
    ("images", True): (-16, -4, 2),
    ("language", False): (-9, -3, 1),
    ("language", True): (-20, -8, 2),
}
# How tensors' bounds become one: the paper's, and two that outliers do not move.
COMBINATIONS = ("extremes", "pooled", "robust")
# Seeds of calibrations: the first gives the bounds, the others say how far they depend on it.
CALIBRATIONS = 3
# How much of an epoch a shortened calibration takes, in twentieths.
TWENTIETHS = (1, 2, 5, 10, 20)


@dataclass(frozen=True)
class Workload:
    """A network, its data, and what a training of it costs."""

    name: str
    # Whose grid it takes.
    family: str
    # For `epsiloscope-record`.
    options: tuple
    # Of its file of metrics, and which values are better.
    metric: str
    goal: str
    steps: int
    calibration_steps: int
    rates: tuple
    seeds: int
    # Options of trainings that are judged, beside the common ones.
    trained: tuple = ()

    def fractions(self):
        """Steps of a calibration by share of it: the first snapshot at or after the share."""
        every = self.snapshot_every()
        snapshot = lambda twentieth: -(-twentieth * self.calibration_steps // 20 // every) * every
        return {twentieth / 20: min(self.calibration_steps, snapshot(twentieth)) for twentieth in TWENTIETHS}

    def snapshot_every(self):
        """Twenty snapshots in a calibration, as nearly as whole steps allow."""
        return max(1, self.calibration_steps // 20)


@dataclass(frozen=True)
class Experiment:
    """A workload with some optimizers."""

    workload: Workload
    optimizers: tuple
    # Of the grid's exponents every so many; 1 in the full plan.
    thinned: int = 1
    # Seeds of the searches that are replayed on the sweep's table.
    replays: int = 20

    def exponents(self, optimizer):
        """Exponents of the grid of ε, ascending; thinned, both ends stay."""
        first, last, step = GRIDS[self.workload.family, optimizer in IN_PLACE]
        exponents = list(range(first, last + 1, step))
        thinned = exponents[:: self.thinned]
        return thinned if thinned[-1] == last else [*thinned, last]

    def decades(self, optimizer):
        """Width of the grid of ε."""
        exponents = self.exponents(optimizer)
        return exponents[-1] - exponents[0]

    def n_points(self, optimizer):
        """Combinations of ε and learning rate."""
        return len(self.exponents(optimizer)) * len(self.workload.rates)

    def n_trainings(self):
        """Of all optimizers, points and seeds."""
        return sum(self.n_points(optimizer) for optimizer in self.optimizers) * self.workload.seeds


def images(name, **more):
    options = ("--model", name, "--batch-size", "32")
    return Workload(name=name, family="images", options=options, metric="test_accuracy", goal="maximize", **more)


def language(name, *options, **more):
    options = ("--batch-size", "32", *options)
    return Workload(name=name, family="language", options=options, metric="test_perplexity", goal="minimize", **more)


RATES = ("1e-4", "1e-3", "1e-2", "1e-1")
CNN = images("cnn", steps=188, calibration_steps=94, rates=RATES, seeds=3)
VGG11 = images("vgg11", steps=30, calibration_steps=94, rates=RATES, seeds=2)
# Saturated, LSTMs train twenty times slower where denormal numbers are kept. Calibrations keep them.
LSTM = ("--flush-denormals",)
LSTM1 = language("lstm-1", "--model", "lstm", "--layers", "1", trained=LSTM, steps=60, calibration_steps=200, rates=RATES, seeds=2)
LSTM2 = language("lstm-2", "--model", "lstm", "--layers", "2", trained=LSTM, steps=40, calibration_steps=200, rates=RATES, seeds=2)
TRANSFORMER = language("transformer", "--model", "transformer", steps=60, calibration_steps=200, rates=RATES, seeds=2)
SEQ2SEQ = Workload(
    name="seq2seq", family="language", options=("--model", "seq2seq", "--batch-size", "32"),
    metric="test_token_accuracy", goal="maximize", steps=50, calibration_steps=200, rates=RATES, seeds=2,
)

FULL = tuple(Experiment(workload, OPTIMIZERS) for workload in (CNN, TRANSFORMER, LSTM1, VGG11, LSTM2, SEQ2SEQ))
QUICK = (
    Experiment(replace(CNN, steps=94, rates=RATES[1:], seeds=2), OPTIMIZERS, replays=5),
    Experiment(replace(TRANSFORMER, steps=30, calibration_steps=60, rates=RATES[1:3]), ("adam",), replays=5),
    Experiment(replace(LSTM1, steps=30, calibration_steps=60, rates=RATES[1:3]), ("adabelief",), replays=5),
)


def chosen(experiments, only, steps):
    """Those that were asked for, with as many steps; names that there are none of are refused."""
    names = {(of.workload.name, optimizer) for of in experiments for optimizer in of.optimizers}
    for text in only:
        workload, _, optimizer = text.partition("/")
        if not any(name == workload and optimizer in ("", of) for name, of in names):
            known = ", ".join(sorted("/".join(name) for name in names))
            raise SystemExit(f"--only {text}: not in this plan: expected one of {known}")

    def is_asked(name, optimizer):
        return not only or name in only or f"{name}/{optimizer}" in only

    found = []
    for experiment in experiments:
        workload = experiment.workload
        if steps:
            workload = replace(workload, steps=steps, calibration_steps=steps)
        optimizers = tuple(optimizer for optimizer in experiment.optimizers if is_asked(workload.name, optimizer))
        if optimizers:
            found.append(replace(experiment, workload=workload, optimizers=optimizers))
    return tuple(found)

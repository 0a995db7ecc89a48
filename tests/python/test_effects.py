"""What a value of ε does, against optimizers that were run with it: PyTorch's, the AdaBelief package's, and EAdam in NumPy.

All are fed the recorded gradients in float64. Exact zeros are left out, as everywhere.
"""

import math

import numpy as np
import pytest
import torch
from adabelief_pytorch import AdaBelief

from runs import analyse, manifest

BETA1, BETA2 = 0.9, 0.999
LR = 1e-3
# From where ε does nothing to where it rules every element; where it is added in place, critical ε are squares.
EPSILONS = {
    "adam": [1e-12, 1e-5, 1e-3, 1e-2, 1e3],
    "rmsprop": [1e-12, 1e-5, 1e-3, 1e-2, 1e3],
    "adabelief": [1e-20, 1e-11, 1e-9, 1e-7, 1e3],
    "eadam": [1e-20, 1e-11, 1e-9, 1e-7, 1e3],
}
DEFAULTS = {"adam": 1e-8, "rmsprop": 1e-8, "adabelief": 1e-16, "eadam": 1e-8}
# Moments are replayed in float32.
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=list(EPSILONS))
def optimizer(request):
    """Each of the optimizers."""
    return request.param


def stepped(optimizer, gradients, epsilon):
    """The denominators at the last step of an optimizer with this ε, and how far it moved its parameters there."""
    if optimizer == "eadam":
        return eadam(gradients, epsilon)
    parameter = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    made = {
        "adam": lambda: torch.optim.Adam([parameter], lr=LR, betas=(BETA1, BETA2), eps=epsilon, foreach=False),
        "rmsprop": lambda: torch.optim.RMSprop([parameter], lr=LR, alpha=BETA2, eps=epsilon, foreach=False),
        "adabelief": lambda: AdaBelief(
            [parameter], lr=LR, betas=(BETA1, BETA2), eps=epsilon, rectify=False, print_change_log=False
        ),
    }[optimizer]()
    for row in gradients:
        before = parameter.detach().clone()
        parameter.grad = torch.from_numpy(row.astype(np.float64))
        made.step()
    state = made.state[parameter]
    second = {"adam": "exp_avg_sq", "rmsprop": "square_avg", "adabelief": "exp_avg_var"}[optimizer]
    corrected = 1.0 if optimizer == "rmsprop" else 1 - BETA2 ** len(gradients)
    # The package's moment has taken ε in at every step.
    denominator = np.sqrt(state[second].detach().numpy() / corrected) + epsilon
    return denominator, (parameter.detach() - before).numpy()


def eadam(gradients, epsilon):
    """EAdam, formula by formula."""
    m, v = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])
    for step, g in enumerate(gradients.astype(np.float64), start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g + epsilon
        denominator = np.sqrt(v / (1 - BETA2**step))
    return denominator, -LR * m / (1 - BETA1 ** len(gradients)) / denominator


def critical_epsilons(optimizer, gradients):
    """By definition: the ε at which its share of what it is added to equals the gradient's, which then is doubled."""
    m, s = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])
    for g in gradients.astype(np.float64):
        m = BETA1 * m + (1 - BETA1) * g
        s = BETA2 * s + (1 - BETA2) * ((g - m) if optimizer == "adabelief" else g) ** 2
    corrected = 1 - BETA2 ** len(gradients)
    return {
        "adam": np.sqrt(s / corrected),
        "rmsprop": np.sqrt(s),
        "adabelief": s * (1 - BETA2) / corrected,
        "eadam": s * (1 - BETA2) / corrected,
    }[optimizer]


@pytest.fixture(scope="module")
def truth(gradients, optimizer):
    """Per tensor of the calibration its critical ε, and whether they are above zero."""
    critical = {tensor: critical_epsilons(optimizer, rows) for tensor, rows in gradients.items()}
    return {tensor: (values, values > 0) for tensor, values in critical.items()}


@pytest.fixture(scope="module")
def ran(gradients, optimizer):
    """What each ε, the default included, makes of the optimizer's last step, tensor by tensor."""
    epsilons = {*EPSILONS[optimizer], DEFAULTS[optimizer]}
    return {
        epsilon: {tensor: stepped(optimizer, rows, epsilon) for tensor, rows in gradients.items()}
        for epsilon in epsilons
    }


@pytest.fixture(scope="module")
def asked(every, optimizer):
    """What `candidates` says of each ε, over the run and over each tensor."""
    epsilons = ",".join(map(str, EPSILONS[optimizer]))
    rows = []
    for scope in ("run", "tensor"):
        rows += analyse("candidates", every, "--optimizer", optimizer, "--epsilon", epsilons, "--per", scope)
    return {(row["name"], row["epsilon"]): row for row in rows if row["role"] == "asked"}


def groups(truth):
    """The tensors of each row, by its name."""
    return {None: list(truth), **{tensor: [tensor] for tensor in truth}}


def together(tensors, truth, values):
    """Some value of every element that has a gradient."""
    return np.concatenate([values[tensor][truth[tensor][1]] for tensor in tensors])


def test_shares_and_regimes(asked, truth, optimizer):
    regimes = set()
    critical = {tensor: values for tensor, (values, _) in truth.items()}
    for name, tensors in groups(truth).items():
        values = together(tensors, truth, critical)
        for epsilon in EPSILONS[optimizer]:
            row = asked[name, epsilon]
            share = np.count_nonzero(values < epsilon) / len(values)
            # An element whose float32 rounds across ε.
            assert abs(row["share_below"] - share) <= 1 / len(values), (name, epsilon)
            assert row["share_low"] == row["share_below"] == row["share_high"]
            assert (row["method"], row["sample_size"]) == ("exact", len(values))
            if abs(share - 0.01) > 1 / len(values) and abs(share - 0.99) > 1 / len(values):
                expected = "no effect" if share < 0.01 else "mixed" if share <= 0.99 else "sgd-like"
                assert row["regime"] == expected, (name, epsilon, share)
            regimes.add(row["regime"])
    assert regimes == {"no effect", "mixed", "sgd-like"}


def test_effective_rates_are_those_of_the_optimizer_run_with_that_epsilon(asked, truth, ran, optimizer):
    for epsilon in EPSILONS[optimizer]:
        rates = {tensor: LR / denominator for tensor, (denominator, _) in ran[epsilon].items()}
        for name, tensors in groups(truth).items():
            descending = -np.sort(-together(tensors, truth, rates))
            n = len(descending)
            row = asked[name, epsilon]
            assert row["learning_rate"] == LR
            for column, share in (("rate_high", 1 - 0.98), ("rate_median", 0.5), ("rate_low", 0.98)):
                assert row[column] == pytest.approx(descending[int(share * n)], rel=TOLERANCE), (name, epsilon, column)


def test_steps_are_rates_times_the_first_moment(gradients, ran, optimizer):
    """The oracle itself: what it calls a rate is what moves the parameters."""
    for tensor, rows in gradients.items():
        m = np.zeros(rows.shape[1])
        for g in rows.astype(np.float64):
            m = BETA1 * m + (1 - BETA1) * g
        direction = rows[-1].astype(np.float64) if optimizer == "rmsprop" else m / (1 - BETA1 ** len(rows))
        for epsilon in EPSILONS[optimizer]:
            denominator, moved = ran[epsilon][tensor]
            steps = -LR / denominator * direction
            # Parameters are of the size of all steps together, and lose what is below their last bit.
            assert np.allclose(moved, steps, rtol=1e-9, atol=1e-13 * max(1.0, np.abs(moved).max())), epsilon


def test_far_above_every_gradient_the_optimizer_is_sgd(asked, gradients, ran, optimizer):
    """The last step of SGD with momentum at `sgd_rate`, but for Adam's bias correction of the first moment."""
    epsilon = EPSILONS[optimizer][-1]
    rate = asked[None, epsilon]["sgd_rate"]
    momentum = 0.0 if optimizer == "rmsprop" else BETA1
    for tensor, rows in gradients.items():
        parameter = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
        sgd = torch.optim.SGD([parameter], lr=rate, momentum=momentum, foreach=False)
        for row in rows:
            before = parameter.detach().clone()
            parameter.grad = torch.from_numpy(row.astype(np.float64))
            sgd.step()
        moved = (parameter.detach() - before).numpy() / (1 - momentum ** len(rows) if momentum else 1.0)
        assert np.allclose(ran[epsilon][tensor][1], moved, rtol=1e-2, atol=0), tensor


def test_matched_learning_rates_keep_the_median_elements_pace(asked, truth, ran, optimizer, every):
    """At ε and the learning rate to try, the median element moves as it does at the reference."""
    own = manifest(every)["optimizer"]
    assert (own["name"], own["epsilon"], own["learning_rate"]) == ("adam", DEFAULTS["adam"], LR)

    def median(epsilon):
        denominators = {tensor: denominator for tensor, (denominator, _) in ran[epsilon].items()}
        values = np.sort(together(list(truth), truth, denominators))
        return values[int(0.5 * len(values))]

    for epsilon in EPSILONS[optimizer]:
        expected = LR * median(epsilon) / median(DEFAULTS[optimizer])
        found = {asked[name, epsilon]["matched_learning_rate"] for name in groups(truth)}
        assert len(found) == 1 and found.pop() == pytest.approx(expected, rel=TOLERANCE)


def test_the_grid_is_the_search_space(every, optimizer):
    (space,) = analyse("estimate", every, "--optimizer", optimizer, "--combination", "extremes")
    rows = analyse("candidates", every, "--optimizer", optimizer)
    assert rows[0]["role"] in ("own", "default")
    grid = [row["epsilon"] for row in rows[1:]]
    low, high = round(math.log10(space["search_lower"])), round(math.log10(space["search_upper"]))
    assert grid == [float(f"1e{exponent}") for exponent in range(low, high + 1)]
    assert {row["role"] for row in rows[1:]} == {"grid"}
    (narrowing,) = analyse("candidates", every, "--optimizer", optimizer, "--view", "narrowing")
    width = 12 if optimizer in ("adabelief", "eadam") else 7
    assert narrowing["narrowing"] == pytest.approx(width / (high - low), rel=1e-12)


def test_shares_of_bins_and_samples_hold_the_truth(sampled, sample_only, truth, optimizer):
    """At powers of ten, which are edges, bins are exact; at others they bracket; so do samples, with confidence.

    EAdam's critical ε was not recorded, so that both runs answer from a sample.
    """
    critical = together(list(truth), truth, {tensor: values for tensor, (values, _) in truth.items()})
    for epsilon in (*EPSILONS[optimizer], 3.3 * EPSILONS[optimizer][2]):
        share = np.count_nonzero(critical < epsilon) / len(critical)
        for run in (sampled, sample_only):
            rows = analyse("candidates", run, "--optimizer", optimizer, "--epsilon", epsilon)
            (row,) = [row for row in rows if row["role"] == "asked"]
            assert row["share_low"] - 1e-6 <= share <= row["share_high"] + 1e-6, (run, epsilon)
            is_binned = run == sampled and optimizer != "eadam"
            assert row["method"] == ("bins" if is_binned else "sample")
            if is_binned and epsilon in EPSILONS[optimizer]:
                assert row["share_low"] == row["share_high"] == pytest.approx(share, abs=2 / len(critical))

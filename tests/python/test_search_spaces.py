"""Search spaces at several steps, over scopes, by combinations and conventions, against PyTorch's states and NumPy."""

import numpy as np
import pytest
import torch

import oracle
from runs import OPTIMIZERS, analyse, signed_gradients

COMBINATIONS = ["extremes", "pooled", "robust"]
DECAY = {"betas": (0.9, 0.999)}

# Of PyTorch's own optimizers: what makes one, and its critical ε by its state after t steps, root by NumPy.
TORCH = {
    "adam": (lambda p: torch.optim.Adam(p, lr=0.0, **DECAY), lambda s, t: s["exp_avg_sq"] / (1 - 0.999**t)),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=0.0, **DECAY), lambda s, t: s["exp_avg_sq"] / (1 - 0.999**t)),
    "nadam": (lambda p: torch.optim.NAdam(p, lr=0.0, **DECAY), lambda s, t: s["exp_avg_sq"] / (1 - 0.999**t)),
    "amsgrad": (
        lambda p: torch.optim.Adam(p, lr=0.0, amsgrad=True, **DECAY),
        lambda s, t: s["max_exp_avg_sq"] / (1 - 0.999**t),
    ),
    "radam": (lambda p: torch.optim.RAdam(p, lr=0.0, **DECAY), lambda s, t: s["exp_avg_sq"]),
    "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.0, alpha=0.999), lambda s, t: s["square_avg"]),
    "rmsprop-centered": (
        lambda p: torch.optim.RMSprop(p, lr=0.0, alpha=0.999, centered=True),
        lambda s, t: s["square_avg"].addcmul(s["grad_avg"], s["grad_avg"], value=-1),
    ),
    "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.0), lambda s, t: s["sum"]),
}


def torch_statistics(name, rows, steps):
    """The critical ε of every element by an optimizer's state_dict after some steps."""
    make, squared = TORCH[name]
    parameter = torch.zeros(rows.shape[1])
    optimizer = make([parameter])
    found = {}
    for step, row in enumerate(rows, start=1):
        parameter.grad = torch.from_numpy(row.copy())
        optimizer.step()
        if step in steps:
            state = optimizer.state_dict()["state"][0]
            with np.errstate(invalid="ignore"):
                found[step] = np.sqrt(squared(state, step).numpy())
    return found


def by_tensor(run, *options):
    """Each tensor's row by optimizer, step and name."""
    rows = analyse("estimate", run, "--per", "tensor", *options)
    return {(row["optimizer"], row["step"], row["name"]): row for row in rows}


@pytest.mark.parametrize("name", TORCH)
def test_bounds_on_the_way_are_those_of_pytorchs_state(every, gradients, name):
    """Replayed moments at several steps of one run equal the optimizer's own to the last bit."""
    found = by_tensor(every, "--optimizer", name, "--at", "every:3")
    expected = {tensor: torch_statistics(name, rows, (3, 6)) for tensor, rows in gradients.items()}
    assert found.keys() == {(name, step, tensor) for tensor in expected for step in (3, 6)}
    for (_, step, tensor), row in found.items():
        values = expected[tensor][step]
        lower, upper = oracle.bounds(values[np.isfinite(values)])
        assert (row["lower"], row["upper"]) == (float(lower), float(upper)), (step, tensor)


@pytest.mark.parametrize("name", ["adabelief", "adamomentum"])
def test_bounds_on_the_way_are_those_of_the_authors_order_of_operations(every, gradients, name):
    for (_, step, tensor), row in by_tensor(every, "--optimizer", name, "--at", "every:3").items():
        expected = oracle.bounds(oracle.statistics(name, gradients[tensor][:step]))
        assert (row["lower"], row["upper"]) == tuple(map(float, expected)), (step, tensor)


def reference(name, gradients, beta2=0.999):
    """The ε at which it weighs as much as the gradient in a library's denominator, in float64, by its own recursion."""
    v = np.zeros(gradients.shape[1])
    for g in gradients.astype(np.float64):
        if name == "keras-adam":
            v += (g * g - v) * (1 - beta2)  # keras.optimizers.Adam.update_step, then m·alpha/(sqrt(v) + epsilon)
        elif name == "tf-rmsprop":
            v = beta2 * v + (1 - beta2) * g * g  # keras.optimizers.RMSprop, then g·rsqrt(velocity + epsilon)
        else:
            v = (1 - beta2) * g**2 + beta2 * v  # optax.update_moment_per_elem_norm
    corrected = v / (1 - beta2 ** len(gradients))
    return {
        "keras-adam": np.sqrt(v),
        "tf-rmsprop": v,
        "optax-rmsprop": v,  # scale_by_rms: g·rsqrt(nu + eps)
        "optax-adam": np.sqrt(corrected),  # scale_by_adam: mu_hat/(sqrt(nu_hat + eps_root) + eps)
        "optax-eps-root": corrected,
    }[name]


@pytest.mark.parametrize(
    ("name", "default"),
    [("keras-adam", 1e-7), ("tf-rmsprop", 1e-7), ("optax-rmsprop", 1e-8), ("optax-adam", 1e-8), ("optax-eps-root", 0)],
)
def test_conventions_of_other_libraries(every, gradients, name, default):
    """Float32 moments are within a few roundings of float64's."""
    for (_, _, tensor), row in by_tensor(every, "--optimizer", name).items():
        known = oracle.second_moments("adam", gradients[tensor]).numpy() != 0
        lower, upper = oracle.bounds(reference(name, gradients[tensor])[known])
        assert (row["lower"], row["upper"]) == (pytest.approx(lower, rel=3e-6), pytest.approx(upper, rel=3e-6)), tensor
        assert row["default_epsilon"] == default


def groups(tensors, scope):
    """Names of groups and the tensors in them."""
    of = {
        "tensor": lambda name: name,
        "layer": lambda name: name.rpartition(".")[0],
        "kind": lambda name: name.rpartition(".")[2],
        "run": lambda name: None,
    }[scope]
    return {group: [name for name in tensors if of(name) == group] for group in sorted({of(name) for name in tensors}, key=str)}


def fenced(bounds):
    """Those within Tukey's fences on the logarithmic axis."""
    logarithms = np.log10(bounds)
    q1, q3 = np.percentile(logarithms, [25, 75])
    return bounds[(q1 - 1.5 * (q3 - q1) <= logarithms) & (logarithms <= q3 + 1.5 * (q3 - q1))]


@pytest.mark.parametrize("scope", ["layer", "kind", "run"])
def test_combinations_of_every_element(every, gradients, scope):
    rows = analyse("estimate", every, "--per", scope)
    found = {(row["optimizer"], row["name"], row["combination"]): row for row in rows}
    expected = {}
    for optimizer in OPTIMIZERS:
        values = {tensor: oracle.statistics(optimizer, rows) for tensor, rows in gradients.items()}
        for group, tensors in groups(values, scope).items():
            bounds = [oracle.bounds(values[tensor]) for tensor in tensors]
            lower, upper = (np.array([bound[end] for bound in bounds], np.float64) for end in (0, 1))
            expected[optimizer, group, "extremes"] = (lower.min(), upper.max())
            expected[optimizer, group, "robust"] = (fenced(lower).min(), fenced(upper).max())
            pool = oracle.bounds(np.concatenate([values[tensor] for tensor in tensors]))
            expected[optimizer, group, "pooled"] = tuple(map(float, pool))
    assert {key: (row["lower"], row["upper"]) for key, row in found.items()} == expected
    for row in rows:
        ends = {row[f"lower_{end}"] for end in ("low", "high", "boot_low", "boot_high")}
        assert ends == {row["lower"]}, "exact"


@pytest.fixture(scope="module")
def pools(every, gradients):
    """The pooled bounds of every element, by optimizer."""
    return {
        optimizer: oracle.bounds(np.concatenate([oracle.statistics(optimizer, rows) for rows in gradients.values()]))
        for optimizer in OPTIMIZERS
    }


@pytest.mark.parametrize("name", ["sampled", "sample_only"])
def test_pools_of_bins_and_samples_hold_the_truth(name, request, pools):
    for row in analyse("estimate", request.getfixturevalue(name), "--combination", "pooled"):
        for end, exact in zip(("lower", "upper"), pools[row["optimizer"]]):
            assert row["method"] == ("bins" if name == "sampled" else "sample")
            low, high = row[f"{end}_low"], row[f"{end}_high"]
            assert (0 if low is None else low) <= exact <= (np.inf if high is None else high)


@pytest.fixture(scope="module")
def samples(sample_only):
    """By optimizer and tensor, the critical ε of the sampled elements."""
    gradients, _ = signed_gradients(sample_only)
    return {
        optimizer: {tensor: oracle.statistics(optimizer, rows) for tensor, rows in gradients.items()}
        for optimizer in OPTIMIZERS
    }


def test_a_pool_of_samples_weighs_them_by_their_tensors(sample_only, samples, gradients):
    for row in analyse("estimate", sample_only, "--combination", "pooled"):
        of = samples[row["optimizer"]]
        values = np.concatenate(list(of.values()))
        weights = np.concatenate([np.full(len(of[name]), gradients[name].shape[1] / len(of[name])) for name in of])
        order = np.argsort(values[values != 0], kind="stable")
        values, weights = values[values != 0][order], weights[values != 0][order]
        reached = np.cumsum(weights)
        for end, share in (("lower", 1 - 0.98), ("upper", 0.98)):
            assert row[end] == float(values[np.argmax(reached > share * reached[-1])]), (row["optimizer"], end)


def test_bootstrap_intervals_are_numpys(sample_only, samples):
    """As many of NumPy's own resamples lie outside of them as should."""
    generator = np.random.default_rng(0)
    for (optimizer, _, tensor), row in by_tensor(sample_only).items():
        values = samples[optimizer][tensor]
        if row["method"] == "exact":
            assert row["lower_boot_low"] == row["lower_boot_high"] == row["lower"]
            continue
        drawn = [oracle.bounds(generator.choice(values, len(values))) for _ in range(1000)]
        for side, end in enumerate(("lower", "upper")):
            replicates = np.array([bounds[side] for bounds in drawn], np.float64)
            low, high = row[f"{end}_boot_low"], row[f"{end}_boot_high"]
            # 2.5 %, give or take what two thousand draws and steps from one value to the next do.
            assert np.mean(replicates < low) < 0.05 and np.mean(replicates > high) < 0.05, (optimizer, tensor, end)
            assert np.mean(replicates <= low) > 0.01 and np.mean(replicates >= high) > 0.01, (optimizer, tensor, end)

"""The search space of ε against the authors' procedure, carried out by PyTorch on the recorded gradients."""

import math

import numpy as np
import pytest
import torch

import oracle
from runs import OPTIMIZERS, analyse, manifest, read


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One thread; the results of element-wise operations do not depend on it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=OPTIMIZERS)
def optimizer(request):
    """Each of the optimizers."""
    return request.param


def all_statistics(gradients, **decay):
    """The oracle's critical ε of every element, by optimizer and tensor."""
    return {
        optimizer: {tensor: oracle.statistics(optimizer, rows, **decay) for tensor, rows in gradients.items()}
        for optimizer in OPTIMIZERS
    }


@pytest.fixture(scope="module")
def truth(gradients):
    """The critical ε of every element of the calibration."""
    return all_statistics(gradients)


def per_tensor(run, *options):
    """The bounds that each tensor would set, by optimizer and tensor."""
    rows = analyse("estimate", run, "--per", "tensor", *options)
    return {(row["optimizer"], row["name"]): row for row in rows}


def per_run(run, *options):
    """The search space by optimizer."""
    return {row["optimizer"]: row for row in analyse("estimate", run, "--combination", "extremes", *options)}


def outermost(statistics, percentile=oracle.PERCENTILE):
    """The run's bounds and the tensors that set them, and what the others would set: the authors' last step."""
    of_tensors = {tensor: oracle.bounds(values, percentile) for tensor, values in statistics.items()}
    lower, next_lower = sorted(of_tensors, key=lambda tensor: of_tensors[tensor][0])[:2]
    upper, next_upper = sorted(of_tensors, key=lambda tensor: -of_tensors[tensor][1])[:2]
    return {
        "lower": of_tensors[lower][0],
        "lower_tensor": lower,
        "lower_without": of_tensors[next_lower][0],
        "upper": of_tensors[upper][1],
        "upper_tensor": upper,
        "upper_without": of_tensors[next_upper][1],
    }


def assert_bounds_are(rows, statistics, percentile=oracle.PERCENTILE):
    """Every tensor's bounds to the last bit."""
    assert rows.keys() == {(optimizer, tensor) for optimizer in statistics for tensor in statistics[optimizer]}
    for (optimizer, tensor), row in rows.items():
        values = statistics[optimizer][tensor]
        lower, upper = oracle.bounds(values, percentile)
        assert (row["lower"], row["upper"]) == (float(lower), float(upper)), (optimizer, tensor)
        assert row["method"] == "exact"
        ends = [row[f"{bound}_{end}"] for bound in ("lower", "upper") for end in ("low", "high")]
        assert ends == [lower, lower, upper, upper]
        zeros = np.count_nonzero(values == 0)
        assert (row["numel"], row["zeros"], row["non_finite"]) == (values.size, zeros, 0)
        assert row["sample_size"] == values.size - zeros


def test_the_oracle_is_pytorchs_adam(gradients):
    """The oracle's second moment is the optimizer's own state, fed the same gradients."""
    for tensor, rows in gradients.items():
        parameter = torch.zeros(rows.shape[1])
        adam = torch.optim.Adam([parameter], lr=0.0, betas=(0.9, 0.999), foreach=False)
        rmsprop = torch.optim.RMSprop([parameter], lr=0.0, alpha=0.999, foreach=False)
        for row in rows:
            parameter.grad = torch.from_numpy(row)
            adam.step()
            rmsprop.step()
        expected = oracle.second_moments("adam", rows)
        assert torch.equal(adam.state[parameter]["exp_avg_sq"], expected), tensor
        assert torch.equal(rmsprop.state[parameter]["square_avg"], expected), tensor


def test_pytorchs_root_is_within_one_unit_in_the_last_place(gradients):
    """PyTorch's vectorised root is not always correctly rounded: why estimates equal the oracle with NumPy's root."""
    for optimizer in ("adam", "rmsprop"):
        for tensor, rows in gradients.items():
            by_torch = oracle.statistics(optimizer, rows, root_by="torch")
            by_numpy = oracle.statistics(optimizer, rows)
            assert np.abs(by_torch.view(np.int32) - by_numpy.view(np.int32)).max() <= 1, (optimizer, tensor)


def test_every_tensors_bounds_are_exact(every, truth):
    assert_bounds_are(per_tensor(every), truth)


def test_the_runs_bounds_are_exact(every, truth, optimizer):
    row = per_run(every)[optimizer]
    expected = outermost(truth[optimizer])
    assert {key: row[key] for key in expected} == expected
    exponents = oracle.power_of_ten(expected["lower"]), oracle.power_of_ten(expected["upper"])
    assert (row["search_lower"], row["search_upper"]) == tuple(float(f"1e{exponent}") for exponent in exponents)
    assert row["decades"] == exponents[1] - exponents[0]
    sizes = [np.count_nonzero(truth[optimizer][row[f"{end}_tensor"]]) for end in ("lower", "upper")]
    assert [row["lower_sample_size"], row["upper_sample_size"]] == sizes
    assert (row["mode"], row["step"], row["tensors"], row["left_out"]) == ("calibration", 8, 8, 0)


def test_who_sets_the_bounds_is_said_per_tensor(every, truth):
    for (optimizer, tensor), row in per_tensor(every).items():
        expected = outermost(truth[optimizer])
        sets = [end for end in ("lower", "upper") if expected[f"{end}_tensor"] == tensor]
        assert row["sets"] == ("both" if len(sets) == 2 else "".join(sets)), (optimizer, tensor)


@pytest.mark.parametrize("percentile", [0.9, 0.995])
def test_other_percentiles(every, truth, percentile):
    assert_bounds_are(per_tensor(every, "--percentile", percentile), truth, percentile)


def test_other_decay_rates_give_other_bounds(every, gradients, truth):
    """The oracle tells rates apart: at β2 = 0.99 it agrees with `--beta2 0.99`, and no longer with the default."""
    other = all_statistics(gradients, beta1=0.8, beta2=0.99)
    assert_bounds_are(per_tensor(every, "--beta1", 0.8, "--beta2", 0.99), other)
    usual = per_tensor(every)
    for optimizer, statistics in other.items():
        differing = [
            tensor for tensor in statistics if usual[optimizer, tensor]["lower"] != oracle.bounds(statistics[tensor])[0]
        ]
        assert len(differing) == len(statistics), optimizer
    # β1 matters where the first moment does, and only there.
    first_only = all_statistics(gradients, beta1=0.8)
    same = {name for name in OPTIMIZERS if (first_only[name]["fc1.weight"] == truth[name]["fc1.weight"]).all()}
    assert same == {"adam", "rmsprop"}
    assert_bounds_are(per_tensor(every, "--beta1", 0.8), first_only)


def test_share_below_the_runs_own_epsilon(every, truth):
    """Of Adam, with which the run was recorded; of no other."""
    rows = per_run(every)
    values = np.concatenate(list(truth["adam"].values()))
    share = np.count_nonzero((values > 0) & (values.astype(np.float64) < 1e-8)) / np.count_nonzero(values)
    assert 0 < share < 1
    assert (rows["adam"]["own_epsilon"], rows["adam"]["share_below_own"]) == (1e-8, pytest.approx(share, rel=1e-12))
    assert {rows[name]["own_epsilon"] for name in OPTIMIZERS if name != "adam"} == {None}


def snapshot(run, quantity):
    """The recorded bins of a quantity by tensor, all of one step, and that step."""
    rows = [row for row in read(run, "histograms").to_pylist() if row["quantity"] == quantity]
    (step,) = {row["step"] for row in rows}
    bins = {}
    for row in rows:
        bins.setdefault(row["tensor"], {})[row["bin"]] = row["count"]
    return bins, step


@pytest.mark.parametrize("name", ["every", "sampled"])
def test_snapshots_hold_the_critical_epsilon_of_every_element(name, request, truth, optimizer):
    """Whatever sample of gradients is kept, the recorder bins what PyTorch computes from all of them."""
    run = request.getfixturevalue(name)
    bins, step = snapshot(run, f"critical_epsilon.{optimizer}")
    assert step == manifest(run)["totals"]["steps"]
    assert bins == {tensor: oracle.histogram(values) for tensor, values in truth[optimizer].items()}
    rows = [row for row in read(run, "tensors").to_pylist() if row["quantity"] == f"critical_epsilon.{optimizer}"]
    assert len(rows) == len(bins)
    for row in rows:
        values = truth[optimizer][row["tensor"]]
        assert row["zeros"] == np.count_nonzero(values == 0)
        assert (row["min_nonzero"], row["max"]) == (values[values > 0].min(), values.max())


def test_bins_bracket_the_truth(sampled, truth, optimizer):
    """Of a sampled run with snapshots: one bin around the exact value, and the very same powers of ten."""
    rows = {tensor: row for (of, tensor), row in per_tensor(sampled).items() if of == optimizer}
    assert rows.keys() == truth[optimizer].keys()
    for tensor, row in rows.items():
        values = truth[optimizer][tensor]
        for end, exact in zip(("lower", "upper"), oracle.bounds(values)):
            if values.size <= 256:
                assert (row["method"], row[end]) == ("exact", exact), tensor
            else:
                assert row["method"] == "bins"
                assert row[f"{end}_low"] <= exact < row[f"{end}_high"], tensor
                assert row[f"{end}_high"] / row[f"{end}_low"] == pytest.approx(10 ** (1 / 40), rel=1e-12)
                middle = math.sqrt(row[f"{end}_low"] * row[f"{end}_high"])
                assert row[end] == pytest.approx(middle, rel=1e-12)
            assert oracle.power_of_ten(row[end]) == oracle.power_of_ten(exact), tensor
    row, expected = per_run(sampled)[optimizer], outermost(truth[optimizer])
    for end in ("lower", "upper"):
        assert row[f"{end}_low"] <= expected[end] <= row[f"{end}_high"]
        assert row[f"search_{end}"] == float(f"1e{oracle.power_of_ten(expected[end])}")


def test_snapshots_of_every_element_are_exact(snapshot_only, every, optimizer):
    """A calibration's bounds are exact without one recorded gradient."""
    rows = {tensor: row for (of, tensor), row in per_tensor(snapshot_only).items() if of == optimizer}
    expected = {tensor: row for (of, tensor), row in per_tensor(every).items() if of == optimizer}
    assert rows.keys() == expected.keys()
    for tensor, row in rows.items():
        assert row["method"] == "exact"
        assert (row["lower"], row["upper"]) == (expected[tensor]["lower"], expected[tensor]["upper"]), tensor


def test_bins_of_a_training_run(trained, optimizer):
    """The bin that holds the order statistic, found by adding up the recorded counts."""
    bins, step = snapshot(trained, f"critical_epsilon.{optimizer}")
    assert step == 25
    rows = {tensor: row for (of, tensor), row in per_tensor(trained).items() if of == optimizer}
    rows = {tensor: row for tensor, row in rows.items() if row["method"] == "bins"}
    sizes = {info["name"]: math.prod(info["shape"]) for info in manifest(trained)["tensors"]}
    assert rows.keys() == {tensor for tensor, numel in sizes.items() if numel > 256}
    for tensor, row in rows.items():
        ordered = sorted(bins[tensor])
        reached = np.cumsum([bins[tensor][bin_] for bin_ in ordered])
        n = int(reached[-1])
        assert row["sample_size"] == n
        for end, index in (("lower", int((1 - 0.98) * n)), ("upper", int(0.98 * n))):
            bin_ = ordered[int(np.argmax(reached > index))]
            assert row[f"{end}_low"] == pytest.approx(10 ** (bin_ / 40), rel=1e-12), tensor
            assert row[f"{end}_high"] == pytest.approx(10 ** ((bin_ + 1) / 40), rel=1e-12), tensor


def test_intervals_of_a_sample_hold_the_truth(sample_only, truth, optimizer):
    """All intervals of an optimizer hold together with 95 %; with this seed all do. A missing end is no limit."""
    rows = {tensor: row for (of, tensor), row in per_tensor(sample_only).items() if of == optimizer}
    for tensor, row in rows.items():
        values = truth[optimizer][tensor]
        assert row["method"] == ("exact" if values.size <= 256 else "sample")
        assert row["sample_size"] <= min(256, values.size)
        for end, exact in zip(("lower", "upper"), oracle.bounds(values)):
            low, high = row[f"{end}_low"], row[f"{end}_high"]
            assert (0 if low is None else low) <= exact <= (math.inf if high is None else high), (tensor, end)
            assert low is not None or high is not None
    sampled = [row for row in rows.values() if row["method"] == "sample"]
    assert len(sampled) == 3
    assert any(row["lower"] != oracle.bounds(truth[optimizer][row["tensor"]])[0] for row in sampled), "no sample at all"

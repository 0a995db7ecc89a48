"""The optimizers over 100 steps, parameters and states, against PyTorch's and the reference packages'.

Gradients span fourteen decades, with zeros among them and tensors that have no gradient at some steps or at any. The
references run without `foreach`, in the order of operations that the Rust code repeats, so both have the same bits:
- always in float32;
- in bfloat16 where elements fill whole registers; in what is left over, PyTorch's own `add_(x, alpha=a)` computes with
  another a than elsewhere, for it does not round a to bfloat16 there;
- in float64 up to the factors of a whole step, in which Rust takes sqrt(x) for PyTorch's x ** 0.5 and AdaBelief
  multiplies in another order; either may move the last bit.
"""

import numpy as np
import pytest
import torch
from adabelief_pytorch import AdaBelief
from torch_optimizer import Yogi

from runs import call

STEPS = 100
# The names of buffers in the states of the references.
BUFFERS = {
    "exp_avg": "first_moment",
    "exp_avg_sq": "second_moment",
    "exp_avg_var": "second_moment",
    "square_avg": "second_moment",
    "max_exp_avg_sq": "max_second_moment",
    "grad_avg": "first_moment",
    "momentum_buffer": "momentum_buffer",
    "mu_product": "mu_product",
    "sum": "sum",
}


def gradients():
    """Per tensor its first value, one gradient per step, and whether it has a gradient at a step."""
    rng = np.random.default_rng(0)
    always, never = np.ones(STEPS, dtype=np.int64), np.zeros(STEPS, dtype=np.int64)
    # Each element has a scale of its own; its gradients are zero now and then.
    wide = rng.normal(size=(STEPS, 1037)) * 10.0 ** rng.uniform(-12, 2, size=1037)
    wide *= rng.random(wide.shape) < 0.9
    wide[:, ::50] = 0
    return {
        "wide": (rng.normal(size=1037), wide, always),
        "matrix": (rng.normal(size=(8, 16)), rng.normal(1e-3, 1e-3, size=(STEPS, 8, 16)), always),
        "scalar": (rng.normal(size=()), rng.normal(size=STEPS) * 1e-5, always),
        "dead": (rng.normal(size=37), np.zeros((STEPS, 37)), always),
        "rare": (rng.normal(size=33), rng.normal(size=(STEPS, 33)), (np.arange(STEPS) % 3 == 1).astype(np.int64)),
        "frozen": (rng.normal(size=32), rng.normal(size=(STEPS, 32)), never),
    }


def whole_registers(tensors):
    """As much of every tensor as fills registers of 512 bits with bfloat16."""
    kept = {}
    for name, (parameter, gradient, present) in tensors.items():
        if size := parameter.size // 32 * 32:
            kept[name] = (parameter.ravel()[:size], gradient.reshape(STEPS, -1)[:, :size], present)
    return kept


@pytest.fixture(scope="module", params=["float", "double", "bfloat16"])
def recorded(request, tmp_path_factory):
    """The kind to compute in, the gradients, and the file of them."""
    tensors = whole_registers(gradients()) if request.param == "bfloat16" else gradients()
    path = tmp_path_factory.mktemp("optimizers") / "gradients.npz"
    arrays = {}
    for name, (parameter, gradient, present) in tensors.items():
        arrays |= {f"parameter.{name}": parameter, f"gradient.{name}": gradient, f"present.{name}": present}
    np.savez(path, **arrays)
    return request.param, tensors, path


def trajectory(recorded, algorithm, *settings):
    """Parameters and states after every step, by the Rust code."""
    kind, _, path = recorded
    out = path.with_name("trajectory.npz")
    call("examples/trajectory", path, out, kind, algorithm, *settings)
    with np.load(out) as arrays:
        return dict(arrays)


def reference(recorded, build):
    """Parameters and states after every step, by an optimizer of PyTorch's kind."""
    kind, tensors, _ = recorded
    kind = getattr(torch, kind)
    parameters = {name: torch.tensor(parameter).to(kind).requires_grad_() for name, (parameter, _, _) in tensors.items()}
    optimizer = build(list(parameters.values()))
    steps = {}
    for step in range(STEPS):
        for name, (_, gradient, present) in tensors.items():
            parameters[name].grad = torch.tensor(gradient[step]).to(kind) if present[step] else None
        optimizer.step()
        for name, parameter in parameters.items():
            steps.setdefault(f"parameter.{name}", []).append(readable(parameter))
            if tensors[name][2][step]:
                for buffer, values in optimizer.state[parameter].items():
                    if buffer in BUFFERS and values is not None:
                        steps.setdefault(f"state.{name}.{BUFFERS[buffer]}", []).append(readable(values))
    return {name: np.stack(values) for name, values in steps.items()}


def readable(tensor):
    """A copy of a kind that NumPy knows."""
    tensor = tensor.detach().clone()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def torch_optimizer(name, **settings):
    """Builds an optimizer of torch.optim over a list of parameters."""
    return lambda parameters: getattr(torch.optim, name)(parameters, foreach=False, **settings)


def adabelief(**settings):
    """Builds the reference AdaBelief."""
    return lambda parameters: AdaBelief(parameters, print_change_log=False, **settings)


def yogi(**settings):
    """Builds the reference Yogi."""
    return lambda parameters: Yogi(parameters, **settings)


CASES = [
    ("adam", [], torch_optimizer("Adam")),
    ("adam", ["epsilon=1e-2", "coupled=1e-2"], torch_optimizer("Adam", eps=1e-2, weight_decay=1e-2)),
    ("adam", ["epsilon=1e-15", "beta1=0.8", "beta2=0.9", "lr=0.1"], torch_optimizer("Adam", lr=0.1, betas=(0.8, 0.9), eps=1e-15)),
    ("adamw", [], torch_optimizer("AdamW")),
    ("adamw", ["epsilon=1.0", "decoupled=0.1"], torch_optimizer("AdamW", eps=1.0, weight_decay=0.1)),
    ("amsgrad", [], torch_optimizer("Adam", amsgrad=True)),
    ("amsgrad", ["beta2=0.5", "coupled=0.1"], torch_optimizer("Adam", betas=(0.9, 0.5), weight_decay=0.1, amsgrad=True)),
    ("amsgrad", ["decoupled=0.1"], torch_optimizer("AdamW", weight_decay=0.1, amsgrad=True)),
    ("nadam", ["lr=2e-3"], torch_optimizer("NAdam")),
    ("nadam", ["epsilon=1e-3", "coupled=0.1", "momentum_decay=0.1"],
     torch_optimizer("NAdam", lr=1e-3, eps=1e-3, weight_decay=0.1, momentum_decay=0.1)),
    ("nadam", ["decoupled=0.1"], torch_optimizer("NAdam", lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True)),
    ("radam", [], torch_optimizer("RAdam")),
    ("radam", ["epsilon=1e-3", "coupled=0.1"], torch_optimizer("RAdam", eps=1e-3, weight_decay=0.1)),
    ("radam", ["beta2=0.9", "decoupled=0.1"],
     torch_optimizer("RAdam", betas=(0.9, 0.9), weight_decay=0.1, decoupled_weight_decay=True)),
    ("radam", ["beta2=0.5"], torch_optimizer("RAdam", betas=(0.9, 0.5))),
    ("rmsprop", ["lr=1e-2"], torch_optimizer("RMSprop")),
    ("rmsprop", ["lr=1e-2", "epsilon=0.1", "coupled=0.1", "alpha=0.9"],
     torch_optimizer("RMSprop", eps=0.1, weight_decay=0.1, alpha=0.9)),
    ("rmsprop", ["lr=1e-2", "momentum=0.9"], torch_optimizer("RMSprop", momentum=0.9)),
    ("centered-rmsprop", ["lr=1e-2", "epsilon=1e-4"], torch_optimizer("RMSprop", eps=1e-4, centered=True)),
    ("centered-rmsprop", ["lr=1e-2", "epsilon=1e-4", "coupled=0.1", "momentum=0.5"],
     torch_optimizer("RMSprop", eps=1e-4, centered=True, weight_decay=0.1, momentum=0.5)),
    ("adagrad", ["lr=1e-2"], torch_optimizer("Adagrad")),
    ("adagrad", ["lr=1e-2", "epsilon=1e-3", "coupled=0.1", "lr_decay=0.1", "initial_accumulator=0.1"],
     torch_optimizer("Adagrad", eps=1e-3, weight_decay=0.1, lr_decay=0.1, initial_accumulator_value=0.1)),
    ("adabelief", [], adabelief()),
    ("adabelief", ["epsilon=1e-8", "coupled=0.1", "beta2=0.9"],
     adabelief(eps=1e-8, betas=(0.9, 0.9), weight_decay=0.1, weight_decouple=False)),
    ("unrectified-adabelief", ["epsilon=1e-8"], adabelief(eps=1e-8, rectify=False)),
    ("unrectified-adabelief", ["decoupled=0.1"], adabelief(weight_decay=0.1, rectify=False)),
    ("yogi", ["lr=1e-2"], yogi()),
    ("yogi", ["lr=1e-2", "epsilon=1e-8", "coupled=0.1", "initial_accumulator=1e-2"],
     yogi(eps=1e-8, weight_decay=0.1, initial_accumulator=1e-2)),
]


@pytest.mark.parametrize("algorithm, settings, build", CASES, ids=lambda value: None if callable(value) else str(value))
def test_every_step_has_the_references_bits(recorded, algorithm, settings, build):
    found, expected = trajectory(recorded, algorithm, *settings), reference(recorded, build)
    assert found.keys() == expected.keys()
    assert any(name.startswith("state.rare.") for name in found)
    assert not any(name.startswith("state.frozen.") for name in found)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        if values.dtype == np.float64:
            np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=0, err_msg=name)
        else:
            assert found[name].tobytes() == values.tobytes(), name


def by_hand(recorded, algorithm, beta1=0.9, beta2=0.999, epsilon=1e-8, lr=1e-3):
    """EAdam's or AdaMomentum's trajectory, formula by formula, in NumPy's float64."""
    _, tensors, _ = recorded
    trajectory = {}
    for name, (p, gradient, present) in tensors.items():
        m, s, steps = np.zeros_like(p), np.zeros_like(p), 0
        trajectory[f"parameter.{name}"] = []
        for g in np.where(present.reshape(-1, *[1] * p.ndim), gradient, np.nan):
            if not np.isnan(g).any():
                steps += 1
                m = beta1 * m + (1 - beta1) * g
                s = beta2 * s + (1 - beta2) * (m if algorithm == "adamomentum" else g) ** 2 + epsilon
                p = p - lr * (m / (1 - beta1**steps)) / np.sqrt(s / (1 - beta2**steps))
                trajectory.setdefault(f"state.{name}.first_moment", []).append(m)
                trajectory.setdefault(f"state.{name}.second_moment", []).append(s)
            trajectory[f"parameter.{name}"].append(p)
    return {name: np.stack(values) for name, values in trajectory.items()}


@pytest.mark.parametrize("recorded", ["double"], indirect=True)
@pytest.mark.parametrize("algorithm", ["eadam", "adamomentum"])
@pytest.mark.parametrize("settings", [{}, {"epsilon": 1e-3}, {"epsilon": 1e-30, "beta1": 0.5, "beta2": 0.9, "lr": 0.1}])
def test_epsilon_in_place_follows_its_formula(recorded, algorithm, settings):
    found = trajectory(recorded, algorithm, *(f"{name}={value}" for name, value in settings.items()))
    expected = by_hand(recorded, algorithm, **settings)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        # Sums that cancel keep the error of their terms, element by element.
        assert (np.abs(found[name] - values) <= 1e-13 * np.abs(values).max(axis=0)).all(), name

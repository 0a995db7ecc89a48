"""Recording a PyTorch training from Python: what is recorded is what entered the optimizer, and nothing else changes."""

import gc
import io
import multiprocessing
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import epsiloscope
import epsiloscope.torch
import oracle
from epsiloscope.torch import _hooks, calibrate, record
from runs import analyse, call, manifest
from training import batches, closure_of, is_finished_without_losses, loss_of, rows, steps, tiny, train, values


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def faults_are_failures():
    """A recorder that warns has lost something."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="epsiloscope: ")
        yield


def recorded_equals(run, gradients, **where):
    """Whether every element of these gradients was recorded, step by step."""
    found = values(run)
    expected = {(step, name): g for step, of in enumerate(gradients, 1) for name, g in of.items()}
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        elements, got = found[key]
        assert elements.tolist() == list(range(gradient.numel())), key
        np.testing.assert_array_equal(got, gradient.float().numpy().ravel(), err_msg=str(key))


def test_one_line_beside_a_loop_records_it(tmp_path):
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-7, betas=(0.8, 0.95), weight_decay=0.1)
    with record(model, optimizer, tmp_path / "run", magnitudes="all", labels={"seed": 3}) as recorder:
        gradients = train(model, optimizer, before=lambda loss: recorder.log(loss=loss, epoch=1, twice=2 * loss))
    recorded_equals(tmp_path / "run", gradients)
    found = manifest(tmp_path / "run")
    assert is_finished_without_losses(tmp_path / "run")
    assert found["optimizer"] == {
        "name": "adamw", "learning_rate": 1e-2, "epsilon": 1e-7, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1,
    }
    assert found["gradient"]["coupled_weight_decay"] == 0
    assert found["mode"] == "monitoring" and found["labels"] == {"seed": "3"}
    assert found["software"]["framework"] == f"PyTorch {torch.__version__}"
    assert [tensor["shape"] for tensor in found["tensors"]] == [[16], [16, 8], [4], [4, 16]]
    of_steps = steps(tmp_path / "run")
    assert list(of_steps) == [1, 2, 3, 4, 5] and {row["epoch"] for row in of_steps.values()} == {1}
    assert of_steps[3]["learning_rate"] == 1e-2 and of_steps[3]["loss"] > 0
    scalars = rows(tmp_path / "run", "scalars")
    assert [row["value"] for row in scalars] == pytest.approx([2 * row["loss"] for row in of_steps.values()])
    call("epsiloscope", "verify", tmp_path / "run")


def test_histograms_are_those_of_every_element(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run", magnitudes=None):
        gradients = train(model, optimizer)
    counted = {}
    for row in rows(tmp_path / "run", "histograms", "gradient"):
        counted.setdefault((row["step"], row["tensor"]), {})[row["bin"]] = row["count"]
    for step, of in enumerate(gradients, 1):
        for name, gradient in of.items():
            assert counted[step, name] == oracle.histogram(gradient.abs().numpy().ravel()), (step, name)
    assert not list((tmp_path / "run" / "magnitudes").glob("*.parquet")) or not values(tmp_path / "run")


def test_recording_changes_nothing(tmp_path):
    def weights(recorded):
        model = tiny()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        if recorded:
            with record(model, optimizer, tmp_path / "run", critical_epsilon_every_step=True):
                train(model, optimizer)
        else:
            train(model, optimizer)
        return [p.detach().clone() for p in model.parameters()], torch.rand(3)

    (plain, draw), (beside, other_draw) = weights(False), weights(True)
    assert all(map(torch.equal, plain, beside)) and torch.equal(draw, other_draw)


OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "exp_avg_sq"),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "max_exp_avg_sq"),
    "adamw": (torch.optim.AdamW, {}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "exp_avg_sq"),
    "nadam": (torch.optim.NAdam, {}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "exp_avg_sq"),
    "radam": (torch.optim.RAdam, {}, lambda v, t: v.sqrt(), "exp_avg_sq"),
    "rmsprop": (torch.optim.RMSprop, {}, lambda v, t: v.sqrt(), "square_avg"),
    "adagrad": (torch.optim.Adagrad, {}, lambda v, t: v.sqrt(), "sum"),
    "fused": (torch.optim.AdamW, {"fused": True}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "exp_avg_sq"),
    "foreach": (torch.optim.Adam, {"foreach": True}, lambda v, t: (v / (1 - 0.999**t)).sqrt(), "exp_avg_sq"),
}


@pytest.mark.parametrize("count_on", ["host", "device"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_critical_epsilon_comes_from_the_optimizer_s_own_moments(tmp_path, name, count_on):
    make, options, formula, key = OPTIMIZERS[name]
    model = tiny()
    optimizer = make(model.parameters(), lr=1e-3, **options)
    with record(model, optimizer, tmp_path / "run", snapshot_elements=True, count_on=count_on) as recorder:
        train(model, optimizer, 4)
        expected = {n: formula(optimizer.state[p][key], 4) for n, p in model.named_parameters()}
        assert recorder.health == {"steps": 4, "dropped_steps": 0, "has_stopped": False, "fault": None}
    [quantity] = [each for each in manifest(tmp_path / "run")["quantities"] if each != "gradient"]
    found = values(tmp_path / "run", quantity)
    assert found.keys() == {(4, n) for n in expected}
    for n, epsilons in expected.items():
        np.testing.assert_allclose(found[4, n][1], epsilons.numpy().ravel(), rtol=3e-7, err_msg=n)


def test_a_centered_rmsprop_and_adabelief_are_known(tmp_path):
    from adabelief_pytorch import AdaBelief

    model = tiny()
    centered = torch.optim.RMSprop(model.parameters(), centered=True)
    with record(model, centered, tmp_path / "centered", snapshot_elements=True):
        train(model, centered, 3)
    found = values(tmp_path / "centered", "critical_epsilon.rmsprop-centered")
    for n, p in model.named_parameters():
        state = centered.state[p]
        expected = state["square_avg"].addcmul(state["grad_avg"], state["grad_avg"], value=-1).sqrt()
        np.testing.assert_allclose(found[3, n][1], expected.numpy().ravel(), rtol=1e-3)
    model = tiny()
    belief = AdaBelief(model.parameters(), eps=1e-12, print_change_log=False, rectify=False)
    with record(model, belief, tmp_path / "belief", snapshot_elements=True, magnitudes="all"):
        gradients = train(model, belief, 4)
    found = values(tmp_path / "belief", "critical_epsilon.adabelief")
    for n, _ in model.named_parameters():
        stacked = np.stack([of[n].numpy().ravel() for of in gradients])
        np.testing.assert_allclose(found[4, n][1], oracle.statistics("adabelief", stacked), rtol=1e-3, atol=1e-11)


def test_any_optimizer_is_recorded_and_its_name_told(tmp_path):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    with record(optimizer, tmp_path / "run", magnitudes="all"):
        weights = {f"group0.{i}": p.detach().clone() for i, p in enumerate(model.parameters())}
        gradients = train(model, optimizer, 1)
    found = manifest(tmp_path / "run")
    assert found["optimizer"]["name"] == "sgd" and found["gradient"]["coupled_weight_decay"] == 0.5
    assert [tensor["name"] for tensor in found["tensors"]] == ["group0.0", "group0.1", "group0.2", "group0.3"]
    [first] = gradients
    for (name, weight), gradient in zip(weights.items(), first.values()):
        expected = gradient.add(weight, alpha=0.5)
        np.testing.assert_array_equal(values(tmp_path / "run")[1, name][1], expected.numpy().ravel())


def test_maximizing_enters_the_negative_gradient(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters(), maximize=True)
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        gradients = train(model, optimizer, 2)
    recorded_equals(tmp_path / "run", [{name: -g for name, g in of.items()} for of in gradients])


def test_groups_keep_their_own_settings(tmp_path):
    model = tiny()
    groups = [{"params": list(model[0].parameters()), "weight_decay": 0.2}, {"params": list(model[2].parameters()), "lr": 0.5}]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        [gradients] = train(model, optimizer, 1)
    found = values(tmp_path / "run")
    for name, gradient in gradients.items():
        decay = 0.2 if name.startswith("0.") else 0.0
        np.testing.assert_array_equal(found[1, name][1], gradient.add(before[name], alpha=decay).numpy().ravel())
    labels = manifest(tmp_path / "run")["labels"]
    assert '"learning_rate": 0.5' in labels["parameter_group.1"]
    assert [(row["name"], row["value"]) for row in rows(tmp_path / "run", "scalars")] == [("learning_rate.1", 0.5)]
    assert steps(tmp_path / "run")[1]["learning_rate"] == 1e-3


def test_groups_are_those_that_a_checkpoint_brings(tmp_path):
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.0)
    state = {**optimizer.state_dict(), "param_groups": [{**optimizer.param_groups[0], "params": [0], "weight_decay": 10.0}]}
    with record(optimizer, tmp_path / "run", magnitudes="all"):
        weight.grad = torch.ones(3)
        optimizer.step()
        optimizer.load_state_dict(state)
        optimizer.step()
        optimizer.param_groups[0]["weight_decay"] = 20.0
        optimizer.step()
    assert [list(values(tmp_path / "run")[step, "group0.0"][1]) for step in (1, 2, 3)] == [[1] * 3, [11] * 3, [21] * 3]


def test_learning_rates_are_those_before_the_scheduler(tmp_path):
    groups = [{"params": [nn.Parameter(torch.zeros(2))], "lr": torch.tensor(rate)} for rate in (1.0, 2.0)]
    optimizer = torch.optim.Adam(groups)
    with record(optimizer, tmp_path / "run"):
        for rate in (1.0, 0.5):
            for index, group in enumerate(optimizer.param_groups):
                group["lr"].fill_(rate * (index + 1))
                group["params"][0].grad = torch.ones(2)
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"].zero_()
    assert [row["learning_rate"] for row in steps(tmp_path / "run").values()] == [1.0, 0.5]
    assert [row["value"] for row in rows(tmp_path / "run", "scalars")] == [2.0, 1.0]


def test_a_gradient_that_is_a_partial_sum_is_refused(tmp_path):
    from torch.distributed.tensor import DTensor, Partial, Replicate, init_device_mesh

    torch.distributed.init_process_group("gloo", store=torch.distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        weight = nn.Parameter(DTensor.from_local(torch.zeros(4), mesh, [Replicate()]))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        with record(optimizer, tmp_path / "run") as recorder:
            weight.grad = DTensor.from_local(torch.ones(4), mesh, [Partial()])
            with pytest.warns(RuntimeWarning, match="step 1 is not recorded: ValueError: tensor group0.0: its gradient"):
                optimizer.step()
            with warnings.catch_warnings(record=True):
                recorder.close()
    finally:
        torch.distributed.destroy_process_group()


def test_accumulated_gradients_count_once(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    expected = []
    with record(model, optimizer, tmp_path / "run", magnitudes="all", accumulated_batches=2):
        for index, batch in enumerate(batches(4)):
            loss_of(model, batch).backward()
            if index % 2:
                expected.append({name: p.grad.clone() for name, p in model.named_parameters()})
                optimizer.step()
                optimizer.zero_grad()
    recorded_equals(tmp_path / "run", expected)
    assert manifest(tmp_path / "run")["gradient"]["accumulated_batches"] == 2


def test_bfloat16_gradients_are_recorded_as_they_are(tmp_path):
    model = tiny().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters())
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        expected = []
        for inputs, targets in batches(2):
            optimizer.zero_grad()
            loss_of(model, (inputs.bfloat16(), targets.bfloat16())).backward()
            expected.append({name: p.grad.clone() for name, p in model.named_parameters()})
            optimizer.step()
    recorded_equals(tmp_path / "run", expected)


class Tied(nn.Module):
    """A matrix used twice, a frozen one, and one that is never used."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.a_head = nn.Linear(8, 10, bias=False)
        self.a_head.weight = self.embedding.weight
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.unused = nn.Linear(2, 2)

    def forward(self, tokens):
        return self.a_head(self.frozen(self.embedding(tokens)))


def test_tied_frozen_and_unused_tensors(tmp_path):
    model = Tied()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run", exclude=["unused.bias"]):
        for step in range(3):
            optimizer.zero_grad()
            if step == 2:
                model.frozen.requires_grad_(True)
            model(torch.arange(10)).sum().backward()
            optimizer.step()
    names = [tensor["name"] for tensor in manifest(tmp_path / "run")["tensors"]]
    assert names == ["a_head.weight", "frozen.bias", "frozen.weight", "unused.weight"]
    found = values(tmp_path / "run")
    assert [key for key in found if key[0] < 3] == [(1, "a_head.weight"), (2, "a_head.weight")]
    assert {name for step, name in found if step == 3} == {"a_head.weight", "frozen.bias", "frozen.weight"}


def test_sparse_gradients_count_as_dense_ones(tmp_path):
    embedding = nn.Embedding(6, 2, sparse=True)
    optimizer = torch.optim.SparseAdam(embedding.parameters())
    with record(embedding, optimizer, tmp_path / "run", magnitudes="all"):
        embedding(torch.tensor([1, 1, 4])).sum().backward()
        optimizer.step()
    assert values(tmp_path / "run")[1, "weight"][1].reshape(6, 2)[:, 0].tolist() == [0, 2, 0, 0, 1, 0]


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_elements_are_in_the_order_of_the_shape(tmp_path, memory_format):
    model = nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        model(torch.randn(2, 3, 8, 8).to(memory_format=memory_format)).square().sum().backward()
        expected = model.weight.grad.clone(memory_format=torch.contiguous_format).numpy().ravel()
        optimizer.step()
    np.testing.assert_array_equal(values(tmp_path / "run")[1, "weight"][1], expected)


def test_a_compiled_model(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    compiled = torch.compile(model, backend="aot_eager")
    with record(compiled, optimizer, tmp_path / "model", magnitudes="all"):
        gradients = []
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(compiled, batch).backward()
            gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
            optimizer.step()
    recorded_equals(tmp_path / "model", gradients)


@pytest.mark.parametrize("is_compiled_before", [True, False])
def test_a_compiled_step(tmp_path, is_compiled_before):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    if is_compiled_before and _hooks._DROPS_HOOKS:
        pytest.skip(f"torch {torch.__version__}: steps that were compiled before call no hooks")
    step = torch.compile(optimizer.step, backend="eager")
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        if not is_compiled_before:
            step = torch.compile(optimizer.step, backend="eager")
        gradients = []
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
            step()
    recorded_equals(tmp_path / "run", gradients)


def test_closures_are_waited_for(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    closure, expected = closure_of(model, optimizer)
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        assert optimizer.step(closure) > 0
        optimizer.step(closure=closure)
    recorded_equals(tmp_path / "run", expected)


def test_a_step_that_calls_its_base_class_counts_once(tmp_path):
    class Derived(torch.optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    model = tiny()
    optimizer = Derived(model.parameters())
    with record(model, optimizer, tmp_path / "run", magnitudes="all"):
        recorded = train(model, optimizer, 3)
    recorded_equals(tmp_path / "run", recorded)


@pytest.mark.parametrize("count_on", ["host", "device"])
@pytest.mark.parametrize("critical", ["own", ["adam", "adabelief"]])
def test_snapshots_are_taken_whether_or_not_it_is_their_step_s_turn(tmp_path, critical, count_on):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    options = {"every": 2, "steps": [(3, 9)], "snapshot_every": 4, "critical_epsilon": critical, "count_on": count_on}
    with record(model, optimizer, tmp_path / "run", **options) as recorder:
        train(model, optimizer, 9)
        # Of a step that is not recorded, unless a snapshot is taken of it.
        train(model, optimizer, 1)
        recorder.log_after(accuracy=0.5)
    assert list(steps(tmp_path / "run")) == [3, 4, 5, 7, 8, 9, 10]
    of = {quantity: {row["step"] for row in rows(tmp_path / "run", "tensors", quantity)} for quantity in ("gradient", "critical_epsilon.adam")}
    assert of == {"gradient": {3, 5, 7, 9}, "critical_epsilon.adam": {4, 8, 10}}
    assert [(row["step"], row["value"]) for row in rows(tmp_path / "run", "scalars")] == [(10, 0.5)]
    call("epsiloscope", "verify", tmp_path / "run")
    call("epsiloscope", "estimate", tmp_path / "run", "--optimizer", "adam")


def test_steps_out_of_turn_without_snapshot_leave_their_numbers_alone(tmp_path):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters())
    with record(model, optimizer, tmp_path / "run", every=3) as recorder:
        train(model, optimizer, 5, after=lambda _: recorder.log_after(accuracy=0.5))
    assert list(steps(tmp_path / "run")) == [1, 4]
    assert [row["step"] for row in rows(tmp_path / "run", "scalars")] == [1, 2, 3, 4, 5]


def test_calibration_is_the_paper_s_pass(tmp_path):
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0, momentum=0.9)
    train(model, optimizer, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    momentum = [optimizer.state[p]["momentum_buffer"].clone() for p in model.parameters()]
    with calibrate(model, optimizer, tmp_path / "run", magnitudes=16):
        gradients = train(model, optimizer, 6)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(map(torch.equal, momentum, (optimizer.state[p]["momentum_buffer"] for p in model.parameters())))
    assert manifest(tmp_path / "run")["mode"] == "calibration"
    found = analyse("estimate", tmp_path / "run", "--combination", "extremes")
    assert [row["optimizer"] for row in found] == ["adam", "rmsprop", "adabelief", "adamomentum"]
    for row in found:
        bounds = {}
        for name in gradients[0]:
            stacked = np.stack([of[name].numpy().ravel() for of in gradients])
            bounds[name] = oracle.bounds(oracle.statistics(row["optimizer"], stacked))
        assert row["lower"] == pytest.approx(min(lower for lower, _ in bounds.values()), rel=1e-6)
        assert row["upper"] == pytest.approx(max(upper for _, upper in bounds.values()), rel=1e-6)


def test_checkpoints_resume_the_run(tmp_path):
    def whole():
        model = tiny()
        optimizer = torch.optim.Adam(model.parameters())
        with record(model, optimizer, tmp_path / "whole" / "run", critical_epsilon=["rmsprop", "adabelief"]):
            train(model, optimizer, 4)
            train(model, optimizer, 3)

    def interrupted():
        model = tiny()
        optimizer = torch.optim.Adam(model.parameters())
        checkpoint = io.BytesIO()
        with pytest.raises(KeyboardInterrupt), record(
            model, optimizer, tmp_path / "broken" / "run", critical_epsilon=["rmsprop", "adabelief"]
        ) as recorder:
            train(model, optimizer, 4)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "recorder": recorder.state_dict()}
            torch.save(state, checkpoint)
            train(model, optimizer, 2)
            raise KeyboardInterrupt
        assert manifest(tmp_path / "broken" / "run")["status"] == "running"
        checkpoint.seek(0)
        state = torch.load(checkpoint, weights_only=True)
        model = tiny(seed=5)
        optimizer = torch.optim.Adam(model.parameters())
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        with record(
            model, optimizer, tmp_path / "broken" / "run", critical_epsilon=["rmsprop", "adabelief"], resume=state["recorder"]
        ):
            train(model, optimizer, 3)

    whole()
    interrupted()
    for table in ("magnitudes", "histograms", "tensors", "steps"):
        assert rows(tmp_path / "broken" / "run", table) == rows(tmp_path / "whole" / "run", table), table
    [resumed] = manifest(tmp_path / "broken" / "run")["resumed"]
    assert (resumed["after_step"], resumed["moments_restored"]) == (4, True)


def test_a_notebook_s_cell_may_run_again(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    record(model, optimizer, tmp_path / "first")
    train(model, optimizer, 2)
    again = record(model, optimizer, tmp_path / "second")
    assert len(again._handles) == len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks) or (
        _hooks._DROPS_HOOKS and len(again._handles) == 1
    )
    train(model, optimizer, 1)
    again.close()
    again.close()
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    assert "step" not in optimizer.__dict__
    assert manifest(tmp_path / "first")["totals"]["steps"] == 2 and manifest(tmp_path / "second")["totals"]["steps"] == 1
    with pytest.raises(FileExistsError, match='holds a run already.*if_exists="replace"'):
        record(model, optimizer, tmp_path / "first")
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    left_open = record(model, optimizer, tmp_path / "second", if_exists="replace")
    train(model, optimizer, 3)
    with record(model, torch.optim.Adam(model.parameters()), tmp_path / "second", if_exists="replace"):
        assert left_open.health["has_stopped"]
    assert manifest(tmp_path / "second")["totals"]["steps"] == 0


def test_replacing_removes_nothing_but_runs(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    optimizer = torch.optim.Adam(tiny().parameters())
    record(optimizer, tmp_path / "mine", if_exists="replace").close()
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


class Rows(torch.utils.data.Dataset):
    """A data set that carries a recorder into its workers."""

    def __init__(self, recorder):
        self.recorder = recorder

    def __len__(self):
        return 64

    def __getitem__(self, index):
        self.recorder.log(loss=1.0)
        self.recorder.close()
        return torch.full((8,), float(index)), torch.zeros(4)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_data_loader_record_nothing(tmp_path, context):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run") as recorder:
        data = Rows(recorder)
        loader = torch.utils.data.DataLoader(data, 16, num_workers=1, multiprocessing_context=context)
        for batch in loader:
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
    assert manifest(tmp_path / "run")["totals"]["steps"] == 4
    assert is_finished_without_losses(tmp_path / "run")


def test_a_forked_process_trains_without_the_recorder(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run"):
        train(model, optimizer, 1)
        child = multiprocessing.get_context("fork").Process(target=train, args=(model, optimizer, 2))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        train(model, optimizer, 1)
    assert manifest(tmp_path / "run")["totals"]["steps"] == 2


def test_recorders_and_optimizers_are_pickled_without_each_other(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run") as recorder:
        copy = pickle.loads(pickle.dumps(recorder))
        copy.close()
        other = pickle.loads(pickle.dumps(optimizer))
        assert not getattr(other, "_optimizer_step_pre_hooks", None)
        train(model, optimizer, 1)
    assert manifest(tmp_path / "run")["totals"]["steps"] == 1


def test_a_forgotten_recorder_leaves_a_run_to_resume(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    record(model, optimizer, tmp_path / "run")
    train(model, optimizer, 2)
    del optimizer
    gc.collect()
    assert manifest(tmp_path / "run")["status"] == "running"


def test_a_fault_never_reaches_the_training(tmp_path):
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with record(model, optimizer, tmp_path / "run") as recorder:
        train(model, optimizer, 1)
        weight = model[0].weight
        with pytest.warns(RuntimeWarning, match="step 2 is not recorded: RecordingError: tensor 0.weight: 64 gradient"):
            weight.data, weight.grad = weight.data[:8], None
            weight.grad = torch.ones(8, 8)
            optimizer.state.pop(weight)
            optimizer.step()
        optimizer.step()
        assert recorder.health["dropped_steps"] == 2
        with warnings.catch_warnings(record=True):
            recorder.close()
    found = manifest(tmp_path / "run")
    assert found["status"] == "finished" and found["losses"]["dropped_steps"] == 2
    assert "0.weight: 64 gradient elements: expected 128" in found["losses"]["faults"][0]
    model = tiny()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(epsiloscope.RecordingError, match="step 1: "):
        with record(model, optimizer, tmp_path / "strict", strict=True):
            model[0].weight.data = model[0].weight.data[:8]
            model[0].weight.grad = torch.ones(8, 8)
            optimizer.step()


@pytest.mark.parametrize(
    ("options", "fault", "message"),
    [
        ({"include": ["q["]}, ValueError, "pattern"),
        ({"include": ["none.*"]}, ValueError, "no trainable tensor"),
        ({"include": "0.*"}, TypeError, "expected a sequence"),
        ({"critical_epsilon": ["adm"]}, ValueError, 'unknown optimizer "adm"'),
        ({"critical_epsilon": "adam"}, ValueError, "critical_epsilon: expected 'own'"),
        ({"count_on": "gpu"}, ValueError, "count_on"),
        ({"magnitude": 3}, TypeError, "magnitude"),
    ],
)
def test_what_cannot_be_recorded_is_said_at_once(tmp_path, options, fault, message):
    model = tiny()
    with pytest.raises(fault, match=message):
        record(model, torch.optim.Adam(model.parameters()), tmp_path / "run", **options)
    assert not (tmp_path / "run" / "run.json").exists()


def test_arguments_in_the_wrong_order_are_said(tmp_path):
    model = tiny()
    with pytest.raises(TypeError, match=r"torch\.optim\.Optimizer"):
        record(model, tmp_path / "run")
    with pytest.raises(TypeError, match="expected a model, its optimizer and a directory"):
        record(torch.optim.Adam(model.parameters()), model, tmp_path / "run")

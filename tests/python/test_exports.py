"""Exported search spaces, loaded by the tools they are for: values drawn lie within the bounds and spread over their decades."""

import json
import math
import subprocess

import pytest

from runs import ROOT, analyse, call, program

RUN = ROOT / "data/runs/cnn-calibration"
N_DRAWS = 300


def exported(tool, *options):
    return call("epsiloscope", "export", RUN, "--to", tool, *options).decode()


@pytest.fixture(scope="module")
def bounds():
    """The bounds themselves, by the estimate's own table."""
    rows = analyse("estimate", RUN, "--optimizer", "adam", "--combination", "extremes")
    return rows[0]["lower"], rows[0]["upper"]


def module(tool, *options):
    """What a Python export defines."""
    defined = {}
    exec(compile(exported(tool, "--bounds", "exact", *options), f"<{tool}>", "exec"), defined)
    return defined


def check(draws, bounds, n_draws=N_DRAWS):
    lower, upper = bounds
    assert len(draws) >= n_draws
    slack = 1e-12  # what a logarithm and its inverse may cost
    assert all(lower * (1 - slack) <= draw <= upper * (1 + slack) for draw in draws)
    places = sorted(math.log(draw / lower) / math.log(upper / lower) for draw in draws)
    assert places[0] < 0.1 and 0.35 < places[len(places) // 2] < 0.65 and places[-1] > 0.9


def test_optuna(bounds):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = module("optuna")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: found["suggest"](trial), n_trials=N_DRAWS)
    check([trial.params["eps"] for trial in study.trials], bounds)
    assert (found["SPACE"]["eps"].low, found["SPACE"]["eps"].high) == bounds
    (name, text), = json.loads(exported("optuna-json", "--bounds", "exact")).items()
    assert (name, optuna.distributions.json_to_distribution(json.dumps(text))) == ("eps", found["SPACE"]["eps"])


def test_ray(bounds):
    pytest.importorskip("ray.tune")
    space = module("ray")["SPACE"]["eps"]
    assert (space.lower, space.upper) == bounds
    check([space.sample() for _ in range(N_DRAWS)], bounds)


def test_configspace_and_what_smac_takes(bounds, tmp_path):
    config_space = pytest.importorskip("ConfigSpace")
    path = tmp_path / "space.json"
    path.write_text(exported("configspace", "--bounds", "exact"))
    for space in (config_space.ConfigurationSpace.from_json(path), module("smac")["SPACE"]):
        # ConfigSpace keeps nine digits.
        ends = space["eps"].lower, space["eps"].upper
        assert ends == pytest.approx(bounds, rel=1e-8) and space["eps"].log
        space.seed(1)
        check([sample["eps"] for sample in space.sample_configuration(N_DRAWS)], ends)


def test_ax(bounds):
    pytest.importorskip("ax")
    from ax.api.client import Client

    found = module("ax")
    client = Client(random_seed=1)
    client.configure_experiment(parameters=found["SPACE"])
    parameter = client._experiment.search_space.parameters["log10_eps"]
    ends = [found["suggest"]({"log10_eps": end}) for end in (parameter.lower, parameter.upper)]
    assert ends == pytest.approx(bounds, rel=1e-12)
    places = [parameter.lower + (parameter.upper - parameter.lower) * i / N_DRAWS for i in range(N_DRAWS + 1)]
    check([found["suggest"]({"log10_eps": place}) for place in places], bounds)


def test_nevergrad(bounds):
    pytest.importorskip("nevergrad")
    space = module("nevergrad")["SPACE"]
    space.random_state.seed(1)
    draws = [space.sample().value["eps"] for _ in range(N_DRAWS)]
    # Nevergrad draws normally around the middle.
    assert all(bounds[0] <= draw <= bounds[1] for draw in draws) and len(set(draws)) > N_DRAWS / 2


def test_hyperopt(bounds):
    pytest.importorskip("hyperopt")
    import numpy
    from hyperopt.pyll.stochastic import sample

    space = module("hyperopt")["SPACE"]
    random = numpy.random.default_rng(1)
    check([sample(space, random)["eps"] for _ in range(N_DRAWS)], bounds)


def test_keras_tuner(bounds, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras_tuner = pytest.importorskip("keras_tuner")
    parameters = keras_tuner.HyperParameters()
    suggest = module("keras-tuner")["suggest"]
    assert bounds[0] <= suggest(parameters) <= bounds[1]
    (parameter,) = parameters.space
    assert (parameter.min_value, parameter.max_value, parameter.sampling) == (*bounds, "log")
    check([parameter.random_sample(seed) for seed in range(N_DRAWS)], bounds)


def loaded(tool, parameter, n_draws, tmp_path):
    """What a tool with an environment of its own makes of an export."""
    environment = ROOT / ".venv" / "tools" / tool
    if not (environment / "ready").is_file():
        log = environment.with_suffix(".log")
        said = log.read_text().splitlines() if log.is_file() else []
        pytest.skip(f"no {tool}: {said[-1] if said else 'scripts/search_tools.sh brings it'}")
    path = tmp_path / "export"
    path.write_text(exported(tool, "--bounds", "exact", "--param", parameter))
    command = [environment / "bin" / "python", "-I", ROOT / "tests/python/draws.py", tool, path, parameter, n_draws, tmp_path]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# SMAC and Hydra run a training, of a few milliseconds, for every draw.
N_DRAWN = {"wandb": N_DRAWS, "nni": N_DRAWS, "smac": 60, "hydra": 24}


@pytest.mark.parametrize("tool", N_DRAWN)
def test_tools_in_environments_of_their_own(tool, bounds, tmp_path):
    found = loaded(tool, "optimizer.eps", N_DRAWN[tool], tmp_path)
    # ConfigSpace, which is SMAC's, keeps nine digits.
    assert found["ends"] == (pytest.approx(bounds, rel=1e-8) if tool == "smac" else list(bounds))
    check(found["draws"], found["ends"], N_DRAWN[tool])


def test_katib(bounds, tmp_path):
    assert loaded("katib", "optimizer.eps", 0, tmp_path)["ends"] == list(bounds)


@pytest.mark.parametrize("tool", ["wandb", "hydra", "katib"])
def test_yaml_reads_numbers_as_numbers(tool, bounds):
    yaml = pytest.importorskip("yaml")
    text = exported(tool, "--bounds", "exact")
    document = yaml.safe_load(text)
    match tool:
        case "wandb":
            assert document["parameters"]["eps"] == {"distribution": "log_uniform_values", "min": bounds[0], "max": bounds[1]}
        case "hydra":
            assert document["hydra"]["sweeper"]["params"]["eps"].startswith("tag(log, interval(")
        case "katib":
            space = document["parameters"][0]["feasibleSpace"]
            assert (float(space["min"]), float(space["max"]), space["distribution"]) == (*bounds, "logUniform")


def test_json_and_nni_hold_the_bounds_to_the_last_bit(bounds):
    space = json.loads(exported("json", "--bounds", "exact"))
    assert (space["low"], space["high"], space["scale"], space["parameter"]) == (*bounds, "log", "eps")
    assert json.loads(exported("nni", "--bounds", "exact")) == {"eps": {"_type": "loguniform", "_value": list(bounds)}}


def test_powers_of_ten_are_the_papers_search_space():
    space = json.loads(exported("json"))
    rows = analyse("estimate", RUN, "--optimizer", "adam", "--combination", "extremes")
    assert (space["low"], space["high"]) == (rows[0]["search_lower"], rows[0]["search_upper"])


@pytest.mark.parametrize(("optimizer", "name"), [("adam", "eps"), ("keras-adam", "epsilon"), ("optax-eps-root", "eps_root")])
def test_the_parameter_is_called_as_in_its_package(optimizer, name):
    assert json.loads(exported("json", "--optimizer", optimizer))["parameter"] == name
    assert json.loads(exported("json", "--optimizer", optimizer, "--param", "optimizer.eps"))["parameter"] == "optimizer.eps"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "amsgrad", "radam", "rmsprop", "rmsprop-centered", "adagrad"])
def test_the_value_goes_where_it_is_said_to_go(optimizer):
    import torch

    usage = json.loads(exported("json", "--optimizer", optimizer))["usage"]
    made = eval(usage, {"torch": torch, "params": [torch.zeros(1, requires_grad=True)], "lr": 1e-3, "eps": 1e-5})
    assert made.param_groups[0]["eps"] == 1e-5


def test_what_cannot_be_exported_is_told():
    for options, told in [(["--to", "excel"], "unknown tool"), (["--to", "json", "--param", "a b"], "expected letters")]:
        process = subprocess.run([str(program("epsiloscope")), "export", str(RUN), *options], capture_output=True, text=True)
        assert process.returncode == 2 and told in process.stderr and not process.stdout

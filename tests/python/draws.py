"""Draws from an exported search space by the tool that it is for, in that tool's own environment.

    .venv/tools/TOOL/bin/python -I tests/python/draws.py TOOL FILE PARAMETER N FOLDER

prints `{"ends": [lower, upper], "draws": […]}`: where the tool found the space to end, and what it drew.
"""

import json
import subprocess
import sys
import types
from pathlib import Path


def wandb(path, parameter, n, _folder):
    """What the sweep server does: the configuration against its schema, then a run's parameters."""
    import sweeps
    import yaml

    config = sweeps.SweepConfig(yaml.safe_load(path.read_text()))
    space = config["parameters"][parameter]
    draws = [sweeps.next_run(config, []).config[parameter]["value"] for _ in range(n)]
    return (space["min"], space["max"]), draws


def smac(path, parameter, n, folder):
    """A whole optimization, of random points."""
    from smac import RandomFacade, Scenario

    defined = {}
    exec(path.read_text(), defined)
    draws = []

    def train(config, seed=0):
        draws.append(config[parameter])
        return draws[-1]

    scenario = Scenario(defined["SPACE"], deterministic=True, n_trials=n, output_directory=folder / "smac", seed=1)
    RandomFacade(scenario, train, logging_level=30).optimize()
    space = defined["SPACE"][parameter]
    return (space.lower, space.upper), draws


def nni(path, parameter, n, _folder):
    """The check that an experiment begins with, then a tuner."""
    from nni.algorithms.hpo.random_tuner import RandomTuner
    from nni.common.hpo_utils import format_search_space, validate_search_space

    space = json.loads(path.read_text())
    validate_search_space(space, raise_exception=True)
    tuner = RandomTuner(seed=1)
    tuner.update_search_space(space)
    (spec,) = format_search_space(space).values()
    assert spec.log_distributed and not spec.categorical
    return space[parameter]["_value"], [tuner.generate_parameters(trial)[parameter] for trial in range(n)]


APPLICATION = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    drawn = config
    for word in {words}:
        drawn = drawn[word]
    assert isinstance(drawn, float), drawn
    with open("{drawn}", "a") as file:
        file.write(f"{{drawn!r}}\\n")
    return drawn

main()
"""


def nested(words, value):
    """The YAML of a configuration with one value in it."""
    return "".join(f"{'  ' * depth}{word}:\n" for depth, word in enumerate(words))[:-1] + f" {value}\n"


def hydra(path, parameter, n, folder):
    """An application's sweep, the export being a file of its configuration."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
    from omegaconf import OmegaConf

    words = parameter.split(".")
    conf, drawn = folder / "conf", folder / "drawn"
    (conf / "space").mkdir(parents=True)
    (conf / "config.yaml").write_text(nested(words, 1e-8))
    (conf / "space" / "eps.yaml").write_text(path.read_text())
    application = folder / "train.py"
    application.write_text(APPLICATION.format(words=words, drawn=drawn))
    options = ["+space=eps", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1", f"hydra.sweeper.n_trials={n}"]
    command = [sys.executable, "-I", application, "--multirun", *options]
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    text = OmegaConf.load(path).hydra.sweeper.params[parameter]
    override = OverridesParser.create().parse_override(f"{parameter}={text}")
    space = create_optuna_distribution_from_override(override)
    assert space.to_internal_repr(1.0) == 1.0 and type(space).__name__ == "LogUniformDistribution", space
    return (space.low, space.high), [float(line) for line in drawn.read_text().splitlines()]


def katib(path, parameter, _n, _folder):
    """An experiment as its clients read it and its services are sent it; what draws are services of a cluster, no package."""
    import yaml
    from kubeflow.katib import ApiClient, katib_api_pb2

    spec = {"objective": {"type": "minimize", "objectiveMetricName": "loss"}, "algorithm": {"algorithmName": "random"}}
    spec |= yaml.safe_load(path.read_text())
    document = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": "eps"}, "spec": spec}
    client = ApiClient()
    answer = types.SimpleNamespace(data=json.dumps(document))
    experiment = client.deserialize(answer, "V1beta1Experiment")
    # Fields that no client knows would have been dropped.
    assert client.sanitize_for_serialization(experiment) == document
    (found,) = experiment.spec.parameters
    assert found.name == parameter
    space = found.feasible_space
    # The services' names are written otherwise: logUniform is LOG_UNIFORM.
    named = "".join(f"_{letter}" if letter.isupper() else letter for letter in space.distribution).upper()
    sent = katib_api_pb2.ParameterSpec(
        name=found.name,
        parameter_type=katib_api_pb2.ParameterType.Value(found.parameter_type.upper()),
        feasible_space={"min": space.min, "max": space.max, "distribution": katib_api_pb2.Distribution.Value(named)},
    )
    read = katib_api_pb2.ParameterSpec.FromString(sent.SerializeToString())
    assert read.feasible_space.distribution == katib_api_pb2.LOG_UNIFORM
    return (float(read.feasible_space.min), float(read.feasible_space.max)), []


if __name__ == "__main__":
    tool, path, parameter, n, folder = sys.argv[1:]
    ends, draws = globals()[tool](Path(path), parameter, int(n), Path(folder))
    print(json.dumps({"ends": list(ends), "draws": draws}))

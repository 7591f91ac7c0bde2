"""Every sweep and every launcher composes, and the sweeps are about what they say."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from e2eve.config import conf_dir

CONF = Path(conf_dir())
SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
LAUNCHERS = sorted(path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*_block.yaml"))


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def test_there_are_the_promised_sweeps_and_launchers():
    assert {"ablation", "driver", "families", "size", "sampling", "search"} == set(SWEEPS)
    assert {"e2eve_local", "e2eve_submitit_local", "e2eve_slurm"} == set(LAUNCHERS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_goes_with_every_experiment(sweep, experiment):
    config = composed(f"+experiment={experiment}", f"+sweep={sweep}", "++dataset.root=.")
    assert config.study.dir == f"runs/{experiment}_{sweep}"
    assert config.hydra.sweep.dir == config.study.dir
    assert config.evaluation.validation_set == f"{config.study.dir}/validation_set"
    assert config.study.validation is not None
    OmegaConf.to_container(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]), resolve=True
    )


@pytest.mark.parametrize("sweep", SWEEPS)
def test_the_first_choice_of_each_param_is_one_of_the_config(sweep):
    params = composed(f"+sweep={sweep}").hydra.sweeper.params
    assert params
    first = [
        f"{key}={str(values).removeprefix('choice(').split(',')[0]}"
        for key, values in params.items()
    ]
    composed(f"+sweep={sweep}", *(text for text in first if "range(" not in text))


def test_families_differ_in_the_token_model_alone():
    """All drop as many drivers, so that guidance means the same."""
    names = composed("+sweep=families").hydra.sweeper.params.transformer.split(",")
    configs = [composed("+sweep=families", f"transformer={name}") for name in names]
    assert {config.transformer.driver_dropout for config in configs} == {0.1}
    kinds = {(c.transformer._target_, c.transformer.get("targets")) for c in configs}
    assert len(kinds) == len(names) == 3
    sizes = {(c.transformer.layers, c.transformer.heads, c.transformer.width) for c in configs}
    assert len(sizes) == 1


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_composes(launcher):
    config = composed(f"hydra/launcher={launcher}").hydra.launcher
    assert config._target_.startswith("hydra_plugins.e2eve_launchers.")


def test_a_slurm_job_has_a_process_for_each_device():
    config = composed("hydra/launcher=e2eve_slurm", "trainer=ddp", "trainer.num_nodes=2")
    launcher = config.hydra.launcher
    assert (launcher.nodes, launcher.tasks_per_node, launcher.gpus_per_node) == (2, 4, 4)


def test_tokenizers_of_a_cell_are_the_experiment_s_own():
    for kind in ("block", "free_form"):
        config = composed(f"+experiment=photos_{kind}", "tokenizer=separate", "dataset.root=.")
        assert config.tokenizer.source == "runs/photos_source_tokenizer"
        assert config.tokenizer.driver == "runs/photos_driver_tokenizer"
        config = composed(f"+experiment=photos_{kind}", "tokenizer=shared", "dataset.root=.")
        assert config.tokenizer.driver is None

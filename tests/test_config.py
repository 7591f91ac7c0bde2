"""Every YAML composes, and every experiment starts at tiny size."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from e2eve.config import check_numbers, conf_dir
from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose

CONF = Path(conf_dir())
GROUPS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "sweep")
)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
FOLDER = "dataset={root: ., train_list: null, val_list: null}"


@pytest.mark.parametrize("choice", GROUPS)
def test_every_choice_of_a_group_composes(choice):
    OmegaConf.to_container(compose(choice, "++dataset.root=."), resolve=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_starts_at_tiny_size(name, tmp_path):
    task = compose(f"+experiment={name}", "++dataset.root=.").task
    untrained = UNTRAINED if task == "editor" else []
    train(
        compose(
            f"+experiment={name}",
            *TINY,
            *untrained,
            "dataset=toyfaces",
            "dataset.train.length=8",
            f"run_dir={tmp_path}",
            "trainer.accelerator=cpu",
        )
    )
    assert (tmp_path / "bundle" / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("image_size=small", 'image_size is "small": give a number, such as 64'),
        ("trainer.max_steps=ten", 'trainer.max_steps is "ten": give a number, such as 1700'),
        ("evaluation.guidance=much", 'evaluation.guidance is "much": give a number'),
        ("trainer.evaluate=maybe", 'trainer.evaluate is "maybe": give true or false'),
        ("edit_simulation.driver.alpha_min=big", "alpha_min is .big.: give a number"),
    ],
)
def test_a_word_in_place_of_a_number_is_one_sentence(override, message):
    """Also where a choice builds on another one."""
    choices = {"trainer": "cpu", "evaluation": "guided", "edit_simulation": "block_large_driver"}
    check_numbers(compose(), {"": "train", **choices})
    with pytest.raises(ValueError, match=message):
        check_numbers(compose(override), {"": "train", **choices})


def test_there_are_the_promised_experiments():
    kinds = ("source_tokenizer", "driver_tokenizer", "block", "free_form")
    families = ("toyfaces", "photos", "ffhq", "lsun_bedroom")
    assert {f"{f}_{k}" for f in families for k in kinds} <= set(EXPERIMENTS)


def test_published_numbers_are_in_the_published_experiments():
    config = compose("+experiment=ffhq_block", "dataset.root=.")
    assert (config.image_size, config.driver_size) == (256, 64)
    assert (config.transformer.layers, config.transformer.width) == (24, 1024)
    driver = config.edit_simulation.driver
    assert (driver.alpha_min, driver.alpha_max) == (0.5, 0.7)
    assert config.optimizer.decay_steps == 300_000


def test_no_configuration_lies_inside_the_package():
    """A folder e2eve/conf in a checkout would be used instead of conf/."""
    assert CONF.parent == Path(__file__).parents[1]

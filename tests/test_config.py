"""The border: YAML composes, settings are typed, objects are built of what a config names."""

import functools
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from e2eve.commands import _quoted
from e2eve.config import about, conf_dir, instantiate, read_settings
from e2eve.limits import NonNegativeFloat, Positive, Share
from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose


@dataclass(frozen=True)
class Drawing:
    top_p: Share | None = 0.9
    temperature: NonNegativeFloat = 1.0
    count: Positive = 3

    def __post_init__(self) -> None:
        if self.temperature > 10:
            raise ValueError(f"temperature is {self.temperature}: give at most 10.")


@dataclass(frozen=True)
class Settings:
    name: str
    mode: Literal["fast", "slow"]
    drawing: Drawing
    devices: int | str | list[int] = 1
    flag: bool = True
    betas: tuple[float, float] = (0.9, 0.95)
    parts: dict[str, Any] = field(default_factory=dict)
    other: Drawing | None = None


GIVEN = {"name": "a", "mode": "fast", "drawing": {"top_p": 0.5}}


def test_settings_are_the_dataclass_with_its_nested_ones():
    node = OmegaConf.create({**GIVEN, "devices": "auto", "betas": [0.5, 0.9]})
    expected = Settings("a", "fast", Drawing(0.5), devices="auto", betas=(0.5, 0.9))
    assert read_settings(node, Settings) == expected


def test_a_name_may_look_like_a_number():
    assert read_settings({**GIVEN, "name": 2024}, Settings).name == "2024"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mode": "fsat"}, 'train.mode is "fsat", the choices are fast, slow, did you mean "fast"'),
        ({"drawing": {"top_p": 2}}, "train.drawing.top_p is 2: give at most 1.0."),
        ({"drawing": {"topp": 1}}, "train.drawing.topp is no setting: did you mean"),
        ({"drawing": {"temperature": 11}}, "train.drawing.temperature is 11.0: give at most 10."),
        ({"other": {"temperature": float("nan")}}, "train.other.temperature is nan: give a finite"),
        ({"drawing": {"count": 2.5}}, "train.drawing.count is 2.5: give a whole number."),
        ({"other": {"count": 0}}, "train.other.count is 0: give at least 1."),
        ({"drawing": 3}, "train.drawing is 3: give a group of settings."),
        ({"devices": {"a": 1}}, "train.devices is {'a': 1}: give a whole number."),
        ({"flag": "maybe"}, 'train.flag is "maybe": give true or false.'),
        ({"name": None}, "train.name is null: give text."),
        ({"betas": [0.5]}, "train.betas.1 is missing: give train.betas.1=…."),
        ({"nam": 1}, "train.nam is no setting: did you mean train.name?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(change, sentence):
    with pytest.raises(ValueError) as error:
        read_settings({**GIVEN, **change}, Settings, "train")
    assert str(error.value).startswith(sentence)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"^mode is missing: give mode=…"):
        read_settings({"name": "a", "drawing": {}}, Settings)


def stamped(text: str, *, times: Positive = 1, sides: tuple[float, float] = (0, 1)) -> str:
    return f"{text * times}{sides}"


def refusing(value: int) -> None:
    raise ValueError("value is refused.")


STAMPED = f"{__name__}.stamped"


def test_any_importable_function_or_class_is_called_with_checked_arguments():
    node = {"_target_": STAMPED, "text": "a", "times": 2, "sides": [0.5, 1]}
    assert instantiate(OmegaConf.create(node)) == "aa[0.5, 1]"
    assert instantiate({"_target_": "fractions.Fraction", "_args_": [1, 2]}) == 0.5
    partial = instantiate({"_target_": STAMPED, "_partial_": True, "times": 2})
    assert partial("b") == "bb(0, 1)"


def test_nested_nodes_are_built_first():
    nested = {"_target_": "builtins.list", "_args_": [[{"_target_": STAMPED, "text": "a"}]]}
    assert instantiate(nested) == ["a(0, 1)"]


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"_target_": STAMPED, "txet": "a"}, "box.txet is no setting: did you mean box.text?"),
        ({"_target_": STAMPED, "times": "b"}, 'box.times is "b": give a whole number.'),
        ({"_target_": STAMPED, "text": "a", "times": 0}, "box.times is 0: give at least 1."),
        ({"_target_": STAMPED}, "box.text is missing: give box.text=…, as .*stamped has no def"),
        ({"_target_": f"{__name__}.refusing", "value": 1}, r"^box\.value is refused\.$"),
        ({"_target_": None}, 'box._target_ is null: give the class, as "package.module.Class"'),
        ({"_target_": f"{__name__}.STAMPED"}, "box._target_ is .* give the class, as"),
        ({"_target_": "my_lab.Thing"}, 'box._target_ is "my_lab.Thing", which cannot be imported'),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence(node, sentence):
    with pytest.raises(ValueError, match=sentence):
        instantiate(node, "box")


def test_a_whole_number_may_be_written_with_a_point():
    assert instantiate({"_target_": STAMPED, "text": "a", "times": 2.0}) == "aa(0, 1)"


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("width is 3: give 4.", "box.width is 3: give 4."),
        ("It is too wide: give 4.", "box: It is too wide: give 4."),
        ("box.width is 3: give 4.", "box.width is 3: give 4."),
        ("No such box setting.", "box: No such box setting."),
    ],
)
def test_a_sentence_is_told_with_its_place_in_the_config(sentence, told):
    with pytest.raises(ValueError) as error, about("box", ["width"]):
        raise ValueError(sentence)
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("argument", "read"),
    [
        ("name=2024_11_25", "2024_11_25"),
        ("out=007", "007"),
        ("+dataset.root=1e3", "1e3"),
        ("source=true", "true"),
        ("dataset.root=~/photos", str(Path.home() / "photos")),
        ("runs=~", str(Path.home())),
        ("seed=7", 7),
        ("init_from=null", None),
        ("name='7'", "7"),
    ],
)
def test_a_name_or_path_stays_the_text_that_was_given(argument, read):
    (override,) = OverridesParser.create().parse_overrides([_quoted(argument, ())])
    assert override.value() == read


def answer(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "e2eve.simulate", *arguments]
    environment = {"PYTHONPATH": str(Path(conf_dir()).parent), "PATH": ""}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("traner=cpu", "traner is no setting: did you mean trainer?"),
        ("image_sise=4", "image_sise is no setting: did you mean image_size?"),
        (
            "dataset=toyface",
            'dataset is "toyface", the choices are image_folder, lmdb, tar_shards, toyfaces',
        ),
        ("dataset=image_folder", "dataset.root is missing: give dataset.root=…."),
        ("name=a(1)", "name=a(1) cannot be read: quote the value, as in 'name=\"a(1)\"'."),
    ],
)
def test_what_hydra_finds_is_one_sentence(override, sentence, tmp_path):
    done = answer(override, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence) or done.stdout.startswith(sentence)
    assert len((done.stderr + done.stdout).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("min_side=0.3", "min_side is no setting: did you mean +edit_simulation.region.min_width?"),
        ("min_width=0.3", "min_width is not set yet: write +edit_simulation.region.min_width=… to"),
        ("max_widht=1", "max_widht is no setting: did you mean edit_simulation.region.max_width?"),
    ],
)
def test_what_is_known_of_a_setting_are_the_choices_at_hand(override, sentence, tmp_path):
    """And not the settings of what they replace; what a class takes can be added."""
    (tmp_path / "my_lab.py").write_text(
        "class Stripe:\n    def __init__(self, min_width=0.2, max_width=0.4): ...\n"
    )
    (tmp_path / "conf/edit_simulation").mkdir(parents=True)
    (tmp_path / "conf/edit_simulation/stripe.yaml").write_text(
        "region: {_target_: my_lab.Stripe, max_width: 0.5}\n"
    )
    given = ["--config-dir=conf", "edit_simulation=stripe", "steps=3"]
    done = answer(*given, f"edit_simulation.region.{override}", cwd=tmp_path)
    assert done.returncode == 2
    assert (done.stderr + done.stdout).startswith(f"edit_simulation.region.{sentence}")


@pytest.mark.parametrize("key", ["metrics.colour._target_", "callbacks.loss._target_"])
def test_what_a_group_of_several_lacks_is_added_with_a_plus(key, tmp_path):
    done = answer(f"{key}=my_lab.Mine", cwd=tmp_path)
    assert (done.stderr + done.stdout).startswith(f"{key} is not set yet: write +{key}=… to add it")


def test_a_package_and_a_group_of_ones_own_are_found(tmp_path):
    """A package beside the working directory, and files through --config-dir."""
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab/__init__.py").write_text(
        "from e2eve.edit_simulation import Block\nclass MyRegion(Block): pass\n"
    )
    (tmp_path / "conf/edit_simulation").mkdir(parents=True)
    (tmp_path / "conf/edit_simulation/mine.yaml").write_text(
        "defaults: [block]\nregion: {_target_: my_lab.MyRegion}\n"
    )
    for where in ("--config-dir=conf", "hydra.searchpath=[file://conf]"):
        done = answer(
            where, "edit_simulation=mine", "run_dir=out", "num_measured=2", "num_shown=1",
            "dataset.train.length=4", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/simulate.html").is_file()


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


def values_in_groups(name: str) -> set[str]:
    """Keys of an experiment's file, or of those that it builds on, that lie in a group."""
    content = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{name}.yaml"))
    bases = [one for one in content.pop("defaults", []) if isinstance(one, str) and one != "_self_"]  # type: ignore[arg-type, call-arg, union-attr]
    own = {key for key, value in content.items() if isinstance(value, dict)}  # type: ignore[union-attr]
    return own.union(*(values_in_groups(base) for base in bases))  # type: ignore[return-value]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_chooses_groups_and_sets_what_is_in_none(name):
    """So that another choice leaves nothing of the first one behind."""
    assert not values_in_groups(name)


OTHERS = ("edit_simulation=free_form", "vqgan=tiny", "trainer=cpu")


composed_once = functools.cache(compose)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_choices_of_an_experiment_give_way_to_others(name):
    """Whatever an experiment says, another choice of a group is as without the experiment."""
    own = compose(f"+experiment={name}", "++dataset.root=.")
    for other in OTHERS:
        group = other.partition("=")[0]
        chosen = compose(f"+experiment={name}", other, "++dataset.root=.")
        assert differing_leaves(chosen[group], composed_once(other)[group]) <= {
            *("image_size", "driver_size", "max_steps", "val_check_interval")
        }, group
    smoke = compose(f"+experiment={name}", "trainer=smoke", "++dataset.root=.")
    assert smoke.trainer.max_steps == 2 < own.trainer.max_steps


def differing_leaves(first, second) -> set[str]:
    """Names at the root of two groups whose resolved values differ."""
    one, two = (OmegaConf.to_container(node, resolve=True) for node in (first, second))
    return {name for name in one | two if one.get(name) != two.get(name)}  # type: ignore[misc, operator, union-attr]


@pytest.mark.parametrize(
    "path", sorted(Path(conf_dir()).glob("*.yaml")), ids=lambda path: path.stem
)
def test_no_setting_bears_the_name_of_a_group_that_a_command_does_not_choose_from(path):
    """`name=value` would be read as a choice, and refused."""
    groups = {folder.name for folder in Path(conf_dir()).iterdir() if folder.is_dir()} - {"hydra"}
    config = yaml.safe_load(path.read_text())
    chosen = {key.split()[-1] for one in config["defaults"] if isinstance(one, dict) for key in one}
    assert groups & config.keys() <= chosen

"""--help: what a command does, examples that hold, its own options, what it inherits."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from e2eve.config import conf_dir
from e2eve.helping import help_text
from tests.factories import compose

CONF = Path(conf_dir())
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))


def shown(command: str, *arguments: str) -> str:
    return help_text(CONF, command, arguments)


def examples(command: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^  (python .*)$", shown(command), re.M)]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_begins_with_two_sentences_and_three_examples(command):
    text, _, rest = shown(command).partition("\n\n")
    assert len(re.findall(r"\.(?= |$)", text.replace("\n", " "))) in (2, 3)
    assert len(examples(command)) == 3
    assert rest.startswith("  python -m e2eve.")


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_commands_that_can_be_given(command):
    for words in examples(command):
        assert words[:3] == ["python", "-m", f"e2eve.{command}"]
        # A region needs no quotes on the command line, which Hydra itself would ask for.
        given = [re.sub(r"^region=(.*)", r"region='\1'", word) for word in words[3:]]
        compose(*(word for word in given if word != "-m"), config_name=command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_its_own_is_there_with_its_default(command):
    own = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))
    assert isinstance(own, dict)
    options = shown(command).partition("Options, ")[2].partition("\nGroups, ")[0]
    named = set(re.findall(r"^(\w+):", options, re.M))
    assert named == {str(name) for name in own} - {"defaults", "hydra"}


@pytest.mark.parametrize("command", ["train", "simulate", "edit"])
def test_groups_come_last_with_the_default_marked(command):
    groups = shown(command).partition("\nGroups, ")[2]
    assert ("[toyfaces]" in groups) == (command != "edit")
    assert re.search(r"sampling: .*\[(guided|standard)\]", groups)


def test_a_folder_of_ones_own_adds_its_choices(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/mine.yaml").write_text("_target_: builtins.list")
    for given in (("--config-dir", str(tmp_path)), (f"--config-dir={tmp_path}",)):
        assert ", mine, " in shown("train", *given)


def test_it_answers_at_once_and_loads_no_networks():
    code = "import sys; sys.argv = ['x', '--help']; from e2eve.edit import main; main(); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Draws edits")
    assert done.stdout.rstrip().endswith("False")

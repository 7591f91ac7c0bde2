"""A package of one's own beside the working directory, used through `--config-dir` alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from e2eve.editor import Editor

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TINY = (
    "vqgan=tiny tokenizer=separate source_tokenizer=untrained driver_tokenizer=untrained "
    "trainer=smoke tokenizer_loss=plain logger=csv image_size=32 driver_size=16 batch_size=4 "
    "token_cache=16 evaluation.enabled=true evaluation.num_inputs=3 evaluation.num_distractors=2 "
    "evaluation.num_references=4 evaluation.num_samples=2"
).split()
MINE = (
    "dataset=discs edit_simulation=ellipse transformer=independent "
    "+metrics.brightness._target_=my_lab.metrics.Brightness "
    "+callbacks.greeting._target_=my_lab.callbacks.Greeting"
).split()


def call(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of e2eve in a folder, as somebody with an installed package would."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", f"e2eve.{command}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with my_lab/, its YAML files, and two cells trained with them."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(HERE / "my_lab", folder / "my_lab")
    shutil.copytree(HERE / "conf", folder / "my_conf")
    done = call(
        folder, "train", "--config-dir=my_conf", "-m", *TINY, *MINE, "seed=0,1",
        "study.dir=runs/study", "study.objective=editor/brightness",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Hello from my lab." in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def run(lab: Path) -> Path:
    return sorted(path.parent for path in lab.glob("runs/study/*/bundle"))[0]


@pytest.mark.slow
def test_cells_of_a_sweep_are_evaluated_and_compared(lab: Path, run: Path) -> None:
    found = call(
        lab, "evaluate", "--config-dir=my_conf", f"run={run}", "num_samples=1", "out=found",
        "+metrics.brightness._target_=my_lab.metrics.Brightness",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "Brightness" in (lab / "found/report.html").read_text()
    page = call(lab, "dashboard", "runs=[runs/study]", "out=page.html")
    assert page.returncode == 0, page.stderr
    assert "Brightness" in (lab / "page.html").read_text()  # which the dashboard has never heard of


@pytest.mark.slow
def test_a_bundle_edits_with_the_search_path_and_else_asks_for_it(lab: Path, run: Path) -> None:
    inputs = run / "validation_set"
    given = (
        f"model={run}", f"source={inputs / 'sources/00000.png'}", "box=[4,4,28,28]",
        f"driver={inputs / 'drivers/00000.png'}", "num_samples=1", "out=edits",
    )  # fmt: skip
    refused = call(lab, "edit", *given)
    assert refused.returncode == 2
    assert "--config-dir" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    done = call(lab, "edit", "--config-dir=my_conf", *given)
    assert done.returncode == 0, done.stderr
    assert (lab / "edits/grid.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "transformer", "source_tokenizer", "source_tokenizer.vqgan"])
def test_a_bundle_names_no_code(lab: Path, run: Path, tmp_path: Path, place: str) -> None:
    """Whoever writes a `_target_` into a bundle gets nothing imported and nothing run."""
    shutil.copytree(run / "bundle", tmp_path / "bundle")
    shutil.copytree(lab / "my_lab", tmp_path / "evil")
    (tmp_path / "evil/__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = OmegaConf.load(tmp_path / "bundle/config.yaml")
    node = OmegaConf.select(config, place) if place else config
    node["_target_"] = "evil.regions.Ellipse"  # type: ignore[index]
    if place == "transformer":
        node["family"] = "evil.model"  # type: ignore[index]
    OmegaConf.save(config, tmp_path / "bundle/config.yaml")
    shutil.copytree(HERE / "my_lab", tmp_path / "my_lab")
    call(
        tmp_path, "edit", "model=bundle", f"source={run}/validation_set/sources/00000.png",
        f"driver={run}/validation_set/drivers/00000.png", "box=[4,4,28,28]",
    )  # fmt: skip
    assert not (tmp_path / "ran").exists()
    with pytest.raises((ValueError, TypeError)):
        Editor.from_pretrained(tmp_path / "bundle")


def test_the_readme_quotes_the_example() -> None:
    section = (ROOT / "README.md").read_text().split("## Extend")[1].split("\n## ")[0]
    quotes = re.findall(r"```(?:python|yaml)\n(.*?)```", section, flags=re.S)
    files = [path.read_text() for path in HERE.rglob("*") if path.suffix in (".py", ".yaml")]
    assert quotes
    for quote in quotes:
        assert any(quote.strip() in text for text in files), quote
    assert all(choice in section for choice in MINE)

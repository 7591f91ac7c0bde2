"""The command, from configuration to the files it leaves."""

import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from e2eve.config import conf_dir, instantiate
from e2eve.edit_simulation import EditSimulation
from e2eve.simulate import simulate


def config(*overrides: str):
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("simulate", overrides=list(overrides))


@pytest.mark.parametrize("kind", ["block", "free_form", "brush", "mixed"])
@pytest.mark.parametrize("transformations", ["none", "geometry", "colour", "all"])
@pytest.mark.parametrize("view", ["random", "centre"])
def test_every_choice_can_be_built(kind, transformations, view):
    chosen = config(
        f"edit_simulation={kind}",
        f"edit_simulation/transformations={transformations}",
        f"edit_simulation/view={view}",
    )
    simulation = instantiate(chosen.edit_simulation)
    assert isinstance(simulation, EditSimulation)
    assert (simulation.image_size, simulation.driver_size) == (64, 32)
    counts = {"none": 0, "geometry": 4, "colour": 2, "all": 6}
    assert len(simulation.transformations) == counts[transformations]


def test_experiments_can_be_looked_at():
    chosen = config("+experiment=ffhq_block", "dataset.root=somewhere", "run_dir=here")
    assert (chosen.edit_simulation.driver.alpha_min, chosen.run_dir) == (0.5, "here")


def test_page_and_image_are_written(tmp_path):
    chosen = config(f"run_dir={tmp_path}/new/folder", "num_measured=6", "num_shown=2")
    page = simulate(chosen)
    assert page == tmp_path / "new" / "folder" / "simulate.html"
    assert "Simulated edits" in page.read_text()
    with Image.open(page.with_suffix(".png")) as sheet:
        assert sheet.width > 500
    assert simulate(chosen) == page
    page.write_text("mine")
    with pytest.raises(ValueError, match=r"simulate\.html is there and not of an earlier call"):
        simulate(chosen)


def test_a_folder_of_photographs(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        Image.new("RGB", (80, 50), (60 * index, 0, 0)).save(pictures / f"{index}.jpg")
    simulate(config("dataset=image_folder", f"dataset.root={pictures}", f"run_dir={tmp_path}"))
    assert (tmp_path / "simulate.html").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("split=tset", 'split is "tset", the choices are train, val'),
        ("num_shown=0", "num_shown is 0: give at least 1"),
        ("edit_simulation.driver.alpha_max=0.6", "alpha_min is 0.8 and alpha_max 0.6"),
    ],
)
def test_wrong_settings(tmp_path, override, message):
    with pytest.raises(Exception, match=message):
        simulate(config(f"run_dir={tmp_path}", override))

"""Look at simulated edits before training: `python -m e2eve.simulate [edit_simulation=…]`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig, OmegaConf

from e2eve.config import NonNegative, Positive, command, instantiate, plain, read_settings


@dataclass(frozen=True)
class SimulateSettings:
    """Keys of conf/simulate.yaml beside the groups."""

    run_dir: str
    seed: NonNegative
    split: Literal["train", "val"]
    num_shown: Positive
    num_measured: Positive


@command("simulate")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    Console().print(str(simulate(config)), soft_wrap=True, highlight=False)


def simulate(config: DictConfig) -> Path:
    """Writes simulate.html and simulate.png into `run_dir`; the path of the page."""
    from rich.progress import track

    from e2eve.data.keyed import generator_for
    from e2eve.data.splits import build_splits
    from e2eve.reporting.simulation_page import SimulatedEdits, edit_sheet, simulation_page

    names = [field.name for field in fields(SimulateSettings)]
    settings = read_settings({name: config[name] for name in names}, SimulateSettings)
    images = getattr(build_splits(config.dataset), settings.split)
    simulation = instantiate(config.edit_simulation, "edit_simulation")
    edits = SimulatedEdits()
    indices = _spread(len(images), settings.num_measured)
    shown = {indices[i] for i in _spread(len(indices), settings.num_shown)}
    for index in track(indices, "simulating edits"):
        edit = simulation(images[index], generator_for(settings.seed, (0, index)))
        edits.add(images.name(index), edit, show=index in shown)
    folder = Path(settings.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = edit_sheet(edits)
    sheet.save(folder / "simulate.png")
    makes = ("image_size", "driver_size", "seed", "split", "dataset", "edit_simulation")
    made = OmegaConf.to_yaml({name: plain(config)[name] for name in makes})
    return simulation_page(edits, sheet, made).write(folder / "simulate.html")


def _spread(length: int, count: int) -> list[int]:
    """`count` indices spread evenly over `length` items; all of them where there are fewer."""
    count = min(length, count)
    return [i * length // count for i in range(count)]


if __name__ == "__main__":
    main()

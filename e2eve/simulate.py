"""Look at simulated edits before training: `python -m e2eve.simulate [edit_simulation=…]`."""

import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from e2eve.config import choose, instantiate, verb


@verb("simulate")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    Console().print(simulate(config), soft_wrap=True, highlight=False)


def simulate(config: DictConfig) -> Path:
    """Writes simulate.html and simulate.png into `run_dir`; the path of the page."""
    from rich.progress import track

    from e2eve.data.keyed import generator_for
    from e2eve.reporting.simulation_page import SimulatedEdits, edit_sheet, simulation_page

    pictures = instantiate(choose(config.split, config.dataset, "split"))
    simulation = instantiate(config.edit_simulation)
    edits = SimulatedEdits(config.num_shown, config.num_measured)
    began = time.perf_counter()
    for index in track(edits.indices(len(pictures)), "simulating edits"):
        edit = simulation(pictures[index], generator_for(config.seed, (0, index)))
        edits.add(pictures.name(index), edit)
    seconds = (time.perf_counter() - began) / config.num_measured
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = edit_sheet(edits)
    sheet.save(folder / "simulate.png")
    page = simulation_page(edits, sheet, seconds, _settings(config))
    return page.write(folder / "simulate.html")

"""Look at simulated edits before training: `python -m e2eve.simulate [edit_simulation=…]`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from e2eve.config import choose, command, instantiate, plain


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

    pictures = choose(config.split, build_splits(config.dataset)._asdict(), "split")
    simulation = instantiate(config.edit_simulation)
    edits = SimulatedEdits()
    indices = _spread(len(pictures), config.num_measured)
    shown = set(indices[i] for i in _spread(len(indices), config.num_shown))
    for index in track(indices, "simulating edits"):
        edit = simulation(pictures[index], generator_for(config.seed, (0, index)))
        edits.add(pictures.name(index), edit, show=index in shown)
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = edit_sheet(edits)
    sheet.save(folder / "simulate.png")
    return simulation_page(edits, sheet, _settings(config)).write(folder / "simulate.html")


def _spread(length: int, count: int) -> list[int]:
    """`count` indices spread evenly over `length` items; all of them where there are fewer."""
    if count < 1:
        raise ValueError(f"{count} edits are nothing to look at, ask for 1 or more.")
    count = min(length, count)
    return [i * length // count for i in range(count)]


def _settings(config: DictConfig) -> str:
    """The part of the configuration that makes the edits, as YAML."""
    names = ("image_size", "driver_size", "seed", "split", "dataset", "edit_simulation")
    settings = plain(config)
    return OmegaConf.to_yaml(OmegaConf.create({name: settings[name] for name in names}))


if __name__ == "__main__":
    main()

"""What all cells of a sweep have in common, from the command that starts it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from e2eve.sweeps.cells import Cell, cell_name, key_of, parsed, quoted

VERB = "train"

OF_THE_SWEEP = (
    *("hydra.mode", "hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper"),
    *("hydra.sweeper", "sweep.retry_failed", "sweep.dry_run"),
)
"""Overrides that say how the sweep is run; the cells don't get them."""


@dataclass(frozen=True)
class Sweep:
    """
    Args:
        folder: of the sweep.
        settings: the node `sweep` of the config.
        keys: what is swept over, in the order of names.
        given: overrides that are the same for all cells, as they were written.
        flags: of Hydra, that cells need too.
    """

    folder: Path
    settings: DictConfig
    keys: tuple[str, ...]
    given: tuple[str, ...]
    flags: tuple[str, ...]
    loader: ConfigLoader
    hydra_overrides: tuple[str, ...]

    @classmethod
    def of(cls, config: DictConfig, loader: ConfigLoader) -> "Sweep":
        """
        Args:
            config: of the whole command, `hydra` included.

        Raises:
            ValueError: for another verb, or a sweep without a folder.
        """
        verb = config.hydra.job.config_name
        if verb != VERB:
            raise ValueError(f"-m is for e2eve.{VERB}, and this is e2eve.{verb}: leave it out.")
        written = parsed(config.hydra.overrides.task)
        swept = [key_of(one) for one in written if one.is_sweep_override()]
        params = config.hydra.sweeper.get("params") or {}
        keys = dict.fromkeys([*(str(key).lstrip("+~") for key in params), *swept])
        return cls(
            folder=Path(config.sweep.dir),
            settings=config.sweep,
            keys=tuple(keys),
            given=tuple(one.input_line or "" for one in written if key_of(one) not in keys),
            flags=_flags(config),
            loader=loader,
            hydra_overrides=tuple(without(config.hydra.overrides.hydra, OF_THE_SWEEP)),
        )

    def cell(self, overrides: Sequence[str]) -> Cell:
        """The cell with these overrides, which are those of a single training."""
        name = cell_name(overrides, self.keys)
        folder = self.folder / name
        own = [f"run_dir={quoted(folder)}", f"sweep.dir={quoted(self.folder)}"]
        own += [f"sweep.cell={quoted(name)}"]
        kept = without(overrides, OF_THE_SWEEP)
        return Cell(name, folder, (*self.hydra_overrides, *kept, *own))

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one training with these overrides."""
        config = self.loader.load_configuration(VERB, list(overrides), RunMode.RUN)
        with open_dict(config):
            del config["hydra"]
        return config

    @property
    def experiments(self) -> list[str]:
        return self.loader.get_group_options("experiment")


def without(overrides: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Overrides whose keys are none of these and lie below none of them."""

    def is_dropped(key: str) -> bool:
        return any(key == one or key.startswith((f"{one}.", f"{one}/")) for one in beginnings)

    pairs = zip(overrides, parsed(overrides), strict=True)
    return [text for text, override in pairs if not is_dropped(key_of(override))]


def _flags(config: DictConfig) -> tuple[str, ...]:
    """--config-dir, where the command has one."""
    sources = OmegaConf.to_container(config.hydra.runtime.config_sources)
    assert isinstance(sources, list)
    given = [source["path"] for source in sources if source["provider"] == "command-line"]
    return tuple(f"--config-dir={path}" for path in given)

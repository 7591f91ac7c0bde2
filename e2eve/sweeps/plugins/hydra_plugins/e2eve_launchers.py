"""Launchers by the names that Hydra finds them by: it takes plugins from this package only."""

from importlib.util import find_spec
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from e2eve.sweeps import launcher

STOCK = {
    "joblib": "hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "submitit_local": "hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "submitit_slurm": "hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
}
for name, target in STOCK.items():
    # Where a stock launcher is not installed its name composes all the same, with any settings, so
    # that the sweep can end with one sentence instead of Hydra's list of search paths.
    if find_spec(f"hydra_plugins.{target.split('.')[0]}") is None:
        node = OmegaConf.create({"_target_": f"hydra_plugins.{target}"}, flags={"struct": False})
        ConfigStore.instance().store(name, node, group="hydra/launcher", provider="e2eve")


class LocalLauncher(launcher.Processes):
    """Processes of this machine."""


class LocalJobsLauncher(launcher.Jobs):
    """Processes of this machine that submitit treats as jobs."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__("local", **parameters)


class SlurmLauncher(launcher.Jobs):
    """Jobs of a SLURM cluster; a process that fails takes the others of its job with it."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__("slurm", **{"srun_args": ["--kill-on-bad-exit=1"], **parameters})

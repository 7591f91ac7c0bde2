"""Launchers by the names that Hydra finds them by: it takes plugins from this package only."""

from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from e2eve.sweeps import launcher

STOCK = [  # name, package, and the extra that brings it
    ("launcher/joblib", "hydra-joblib-launcher", "sweep"),
    ("launcher/submitit_local", "hydra-submitit-launcher", "slurm"),
    ("launcher/submitit_slurm", "hydra-submitit-launcher", "slurm"),
    ("sweeper/optuna", "hydra-optuna-sweeper", "sweep"),
]
for choice, package, extra in STOCK:
    # Where a plugin of Hydra's is not installed its name composes all the same, with any settings,
    # so that the sweep can end with a sentence that says what to install.
    if find_spec(f"hydra_plugins.{package.replace('-', '_')}") is None:
        node = OmegaConf.create({"missing": package, "extra": extra}, flags={"struct": False})
        group, name = f"hydra/{choice}".rsplit("/", 1)
        ConfigStore.instance().store(name, node, group=group, provider="e2eve")


class LocalLauncher(launcher.Processes):
    """Processes of this machine."""


class LocalJobsLauncher(launcher.Jobs):
    """Processes of this machine that submitit treats as jobs."""

    cluster = "local"


class SlurmLauncher(launcher.Jobs):
    """Jobs of a SLURM cluster."""

    cluster = "slurm"

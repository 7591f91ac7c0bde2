"""Bundles: a folder with config.yaml and *.safetensors that opens without running any code."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from e2eve.checks import is_inside, read_yaml

PACKAGED = Path(__file__).parent / "pretrained"
EDITOR = "toyfaces"  # what the packaged editor is called wherever an editor is asked for


@dataclass(frozen=True)
class Bundle:
    folder: Path
    config: dict

    def load(self, network: nn.Module, name: str) -> None:
        """Fill a network from <name>.safetensors, strictly.

        Raises:
            ValueError: when the file is unreadable or its names or shapes differ.
        """
        path = self.folder / f"{name}.safetensors"
        if not is_inside(path, self.folder):
            raise ValueError(f"{path} is a link out of the bundle: copy the file there.")
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"Cannot read weights from {path}: {error}.") from error
        check_weights(network.state_dict(), weights, str(path))
        network.load_state_dict(weights)


def check_weights(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], where: str
) -> None:
    """Raises ValueError that names what is missing, unexpected, of another shape or not finite."""
    kinds = {
        "missing": expected.keys() - weights.keys(),
        "unexpected": weights.keys() - expected.keys(),
        "of another shape": {
            f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected.keys() & weights.keys()
            if weights[name].shape != expected[name].shape
        },
        "not finite": {name for name, value in weights.items() if not value.isfinite().all()},
    }
    found = [
        f"{len(names)} {kind} ({', '.join(sorted(names)[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in kinds.items()
        if names
    ]
    if found:
        raise ValueError(f"The weights in {where} do not fit the network: {'; '.join(found)}.")


def locate(path: str | Path) -> Path:
    """The bundle's folder behind a bundle, a run folder, `package:<name>`, or `EDITOR`.

    A bundle or run folder of that name in the working directory goes first.
    """
    if str(path).startswith("package:"):
        return _packaged(str(path).removeprefix("package:"))
    folder = Path(path)
    for candidate in (folder, folder / "bundle"):
        if (candidate / "config.yaml").is_file() and any(candidate.glob("*.safetensors")):
            return candidate
    if str(path) == EDITOR:
        return _packaged(EDITOR)
    raise ValueError(
        f"{folder} is no bundle (a folder with config.yaml and *.safetensors) and no run folder "
        "with one in bundle/: give the folder that a training run wrote."
    )


def _packaged(name: str) -> Path:
    known = sorted(folder.parent.name for folder in PACKAGED.glob("*/config.yaml"))
    if name in known:
        return PACKAGED / name
    if name == EDITOR:
        raise ValueError(
            f"The editor {EDITOR} does not come with this version of e2eve: give the folder of a "
            "training run, such as runs/toyfaces_block, which python -m e2eve.train writes."
        )
    raise ValueError(f'No packaged bundle is called "{name}", there are: {known}.')


def read_bundle(path: str | Path, kind: str) -> Bundle:
    """Find and check a bundle; its weights are read later."""
    folder = locate(path)
    config = read_yaml(folder / "config.yaml")
    found = config.get("kind")
    if found != kind:
        raise ValueError(f'{folder} holds a bundle of kind "{found}" where "{kind}" is needed.')
    return Bundle(folder, config)


def write_bundle(
    folder: str | Path, kind: str, config: dict, networks: dict[str, nn.Module]
) -> Path:
    """Write config.yaml and one safetensors file for each network; the folder is returned."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.safetensors" for name in networks}
    for name, network in networks.items():
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, paths[name])
    OmegaConf.save(OmegaConf.create({"kind": kind, **config}), folder / "config.yaml")
    for path in paths.values():  # safetensors makes files that only their owner can read
        shutil.copymode(folder / "config.yaml", path)
    return folder

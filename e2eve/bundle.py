"""Bundles: a folder with config.yaml and *.safetensors that opens without running any code."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from e2eve.checks import is_inside, read_yaml, sha256

PACKAGED = Path(__file__).parent / "pretrained"
EDITOR = "toyfaces"  # what the packaged editor is called wherever an editor is asked for


@dataclass(frozen=True)
class Bundle:
    folder: Path
    config: dict

    def load(self, network: nn.Module, name: str) -> None:
        """Fill a network from <name>.safetensors, strictly.

        Raises:
            ValueError: when the file is unreadable, its names or shapes differ, or its content is
                not what was written with config.yaml: damaged, or of another bundle.
        """
        path = self.folder / f"{name}.safetensors"
        if not is_inside(path, self.folder):
            raise ValueError(f"{path} is a link out of the bundle: copy the file there.")
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"Cannot read weights from {path}: {error}.") from error
        check_weights(network.state_dict(), weights, str(path))
        known = self.config.get("sha256", {}).get(name)  # bundles from before have none
        if known is not None and known != sha256(path):
            raise ValueError(
                f"{path} is not what config.yaml beside it was written with, damaged or of another "
                "bundle: copy the whole folder again."
            )
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
    """The bundle's folder behind a bundle, a run folder, `package:<name>`, `hub:<owner>/<name>`, or
    `EDITOR`.

    A bundle or run folder of that name in the working directory goes first.
    """
    if str(path).startswith("hub:"):
        return _downloaded(str(path).removeprefix("hub:"))
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
    described = {"kind": kind, **config, "sha256": {n: sha256(path) for n, path in paths.items()}}
    OmegaConf.save(OmegaConf.create(described), folder / "config.yaml")
    for path in paths.values():  # safetensors makes files that only their owner can read
        shutil.copymode(folder / "config.yaml", path)
    return folder


FILES = ["config.yaml", "*.safetensors", "README.md", "*.png"]


def push_to_hub(path: str | Path, name: str, *, private: bool = False) -> str:
    """Upload a bundle to the Hugging Face Hub; its address there.

    Args:
        path: bundle or run folder, whose model card goes along.
        name: `owner/name` of the repository, which is made where it is not there. The token is
            that of `hf auth login` or of HF_TOKEN.
        private: of a repository that is made.

    Raises:
        ValueError: when huggingface_hub is missing, or the Hub cannot be reached or refuses.
    """
    folder = locate(path)
    with _hub(name) as api:
        api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=FILES)
    return f"{api.endpoint}/{name}"


def _downloaded(name: str) -> Path:
    """The folder of a bundle that was fetched from the Hub, now or before: `owner/name`, and a
    revision behind an @. Nothing but YAML and weights is read of it."""
    name, _, revision = name.partition("@")
    with _hub(name) as api:
        from huggingface_hub import constants

        # Files, not links to elsewhere as in the Hub's own cache.
        folder = Path(constants.HF_HUB_CACHE, "e2eve", f"{name}@{revision or 'main'}")
        known = {"revision": revision or None, "allow_patterns": FILES[:2]}
        return Path(api.snapshot_download(name, local_dir=folder, **known))


@contextmanager
def _hub(name: str) -> Iterator[Any]:
    """The Hub's client; what it raises inside becomes a sentence."""
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ValueError(
            "The Hugging Face Hub needs its client: pip install huggingface_hub."
        ) from None
    try:
        yield HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"The Hub does not give or take {name}: {said[:300]}") from error

"""Weights of published networks: from a path, or downloaded once into torch's cache."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a `.safetensors` or PyTorch file; no code in the file is run.

    Raises:
        ValueError: when the file is missing, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no weights file at {path}, check the path given as `weights`.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is no file of plain tensors that PyTorch can read, download it again."
        ) from error


def weights_path(weights: str | Path | None, url: str, network: str) -> Path:
    """`weights` itself, or the file behind `url` in torch's cache, downloaded where missing.

    Raises:
        ValueError: when the download fails: names the file, the address and both places to put it.
    """
    if weights is not None:
        return Path(weights)
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # published files end in the start of their SHA-256
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{network} needs {path.name}, which could not be downloaded ({error}): fetch it "
                f"from {url} and save it as {path}, or give its path as `weights`."
            ) from error
    return path


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Copies `state` into the network.

    Raises:
        ValueError: when names or shapes differ, naming the first difference.
    """
    expected = network.state_dict()
    for name in [*expected, *state]:
        here, there = (tuple(d[name].shape) if name in d else "absent" for d in (expected, state))
        if here != there:
            raise ValueError(
                f"{source} holds weights of another network: {name} is {there} there and {here} "
                f"in {type(network).__name__}."
            )
    network.load_state_dict(state)

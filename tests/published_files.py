"""Small networks that published checkpoints can hold, and what is in tests/data/parity."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from e2eve.editor import Editor
from e2eve.published.conversion import editor_state
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import GPTConfig
from tests.factories import CODES, DRIVER_SIDE, SIDE, tiny_tokenizer

PARITY = Path(__file__).parent / "data" / "parity"
SIZES = {"image_size": SIDE, "driver_size": DRIVER_SIDE, "heads": 2}
SIZES |= {"attention": SIDE // 8, "driver_attention": DRIVER_SIDE // 8}


def parity(name: str) -> dict[str, Tensor]:
    return load_file(PARITY / f"{name}.safetensors")


def parity_state(name: str) -> dict[str, Tensor]:
    """The weights among the arrays of a file, by published names."""
    arrays = parity(name)
    return {n.removeprefix("state/"): w for n, w in arrays.items() if n.startswith("state/")}


def full_size(name: str) -> dict[str, Tensor]:
    """Names and shapes of a published state dictionary, without numbers."""
    shapes = json.loads((PARITY / f"{name}.keys.json").read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def plain_tokenizer(side: int = SIDE, **changes: Any) -> Tokenizer:
    """One with a published counterpart, cells of eight pixels."""
    shape: dict[str, Any] = {"channels": 32, "multipliers": (1, 1, 1, 2), "patch": 1, **changes}
    return tiny_tokenizer(side, **shape)


def plain_editor(shared: bool = False) -> Editor:
    """One with a published counterpart, and more positions than it needs."""
    source = plain_tokenizer()
    driver = source if shared else plain_tokenizer(DRIVER_SIDE)
    gpt = GPTConfig(layers=2, heads=2, width=32, codebook_size=CODES, positions=38)
    return Editor(source, driver, gpt, DRIVER_SIDE).eval()


def editor_weights(shared: bool = False) -> dict[str, Tensor]:
    """An editor's weights by published names, masks and all."""
    return editor_state(plain_editor(shared))

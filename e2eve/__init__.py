"""Targeted image editing: mark a region, show what should appear there, get varied edits.

from e2eve import Box, Editor

editor = Editor.from_pretrained("runs/toyfaces_block")
edits = editor.edit("face.png", "glasses.png", Box(12, 20, 52, 36), num_samples=4, seed=0)
edits.images[0].save("edit.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e2eve.bundle import push_to_hub
    from e2eve.editing import Driver, Edits
    from e2eve.editor import Editor
    from e2eve.geometry import Box
    from e2eve.tokenizers import Tokenizer
    from e2eve.transformer import SamplingSettings

__all__ = ["Box", "Driver", "Editor", "Edits", "SamplingSettings", "Tokenizer", "push_to_hub"]

_HOMES = {
    "Box": "e2eve.geometry",
    "Driver": "e2eve.editing",
    "Editor": "e2eve.editor",
    "Edits": "e2eve.editing",
    "SamplingSettings": "e2eve.transformer",
    "Tokenizer": "e2eve.tokenizers",
    "push_to_hub": "e2eve.bundle",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: PyTorch alone takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Simulated edits as ids: encoded on the fly, or once and kept.

A tokenizer that is not trained gives the same ids for the same edit, so that encoding once and
reading ids afterwards trains the same editor in a fraction of the time.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from e2eve.conditioning import EditBatch
from e2eve.data.keyed import Key, KeyedDataset
from e2eve.editor import Editor
from e2eve.reporting.progress import Report, silent
from e2eve.transformer import EditTokens


class CachedTokens(KeyedDataset):
    """Edits that were encoded before, by (epoch, index); the epoch changes nothing.

    Args:
        count: edits in the cache.
        read: opens it, when the first edit is asked for.
    """

    def __init__(self, count: int, read: Callable[[], EditTokens]) -> None:
        self.count, self.read = count, read

    @functools.cached_property
    def tokens(self) -> EditTokens:
        return self.read()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Key) -> int:
        return key[1]  # gathered for the whole batch by `collate`

    def collate(self, items: list[int]) -> EditTokens:
        rows = torch.tensor(items)
        ids = (part[rows].long() for part in self.tokens[:3])
        return EditTokens._make((*ids, self.tokens.region_cells[rows]))


def fingerprint(settings: dict) -> str:
    """A short name of everything that the cached ids depend on."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def cached_size(editor: Editor, count: int) -> int:
    """Bytes that `count` edits take on disk."""
    layout = editor.transformer.layout
    return count * (2 * layout.length + layout.target)


def encode_all(
    editor: Editor, batches: DataLoader | list[EditBatch], progress: Report = silent
) -> EditTokens:
    parts: list[EditTokens] = []
    for batch in batches:
        parts.append(editor.tokenize(batch))
        progress("encoding batches of edits", len(parts), len(batches))
    ids = (torch.cat(column).to(torch.uint16) for column in list(zip(*parts, strict=True))[:3])
    return EditTokens._make((*ids, torch.cat([part.region_cells for part in parts])))


def load_tokens(path: Path, settings: dict) -> EditTokens | None:
    """Cached ids, or None where the file is missing or was made with other settings."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("fingerprint") != fingerprint(settings):
            return None
        return EditTokens(*(file.get_tensor(name) for name in EditTokens._fields))


def save_tokens(path: Path, tokens: EditTokens, settings: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tokens._asdict(), partial, metadata={"fingerprint": fingerprint(settings)})
    partial.replace(path)


def edit_batches(edits: KeyedDataset, keys: list[Key], batch_size: int, workers: int) -> DataLoader:
    return DataLoader(
        edits,
        batch_size=batch_size,
        sampler=keys,
        num_workers=workers,
        collate_fn=edits.collate,
    )

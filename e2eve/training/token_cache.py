"""Simulated edits as ids that are encoded once and kept.

A tokenizer that is not trained gives the same ids for the same edit, so that encoding once and
reading ids afterwards trains the same editor in a fraction of the time. A cache belongs to the
content of what it was made of, not to paths: weights of the tokenizers, the list of images with
sizes and times, simulation and seed.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

from e2eve.data.keyed import Key, KeyedDataset
from e2eve.data.splits import Images
from e2eve.editor import Editor
from e2eve.reporting.progress import progress_bars
from e2eve.transformer import EditTokens

log = logging.getLogger(__name__)

BATCH = 64
"""Edits that are encoded at once."""


@dataclass(frozen=True)
class TokenCache:
    """A file of ids, and hashes of what they are made of.

    parts: a short hash for each thing that the ids depend on, by its name in sentences.
    """

    path: Path
    parts: Mapping[str, str]

    @classmethod
    def at(
        cls,
        path: Path,
        editor: Editor,
        images: Images,
        *,
        count: int,
        seed: int,
        simulation: Mapping[str, Any],
    ) -> "TokenCache":
        """The cache of `count` edits.

        Args:
            seed: of the simulation's random draws.
            simulation: the config of the edit simulation.
        """
        tokenizers = dict.fromkeys([editor.source_tokenizer, editor.driver_tokenizer])
        parts = {
            "tokenizers": [[each.describe(), weights_hash(each)] for each in tokenizers],
            "images": list(_image_list(images, count)),
            "simulation": dict(simulation),
            "numbers": [count, len(images), seed],
        }
        return cls(path, {name: _short_hash(part) for name, part in parts.items()})

    def outdated(self) -> list[str]:
        """Names of what has changed since the file was written; all where none can be read."""
        try:
            with safe_open(self.path, framework="pt") as file:
                found = file.metadata() or {}
        except (OSError, SafetensorError):
            return list(self.parts)
        return [name for name, part in self.parts.items() if found.get(name) != part]

    def prepare(self, editor: Editor, edits: KeyedDataset, count: int, workers: int) -> None:
        """Encode the first `count` edits, unless the file holds them already."""
        changed = self.outdated()
        if not changed:
            return
        if self.path.is_file():
            log.warning(
                "The ids in %s are of other %s: they are encoded again.",
                self.path,
                ", ".join(changed),
            )
        layout = editor.transformer.layout
        size = count * (2 * layout.length + layout.target) / 1e6
        log.info("Encoding %d simulated edits once (%.1f MB on disk).", count, size)
        tokens = encode_all(editor, edits, count, workers)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        save_file(tokens._asdict(), partial, metadata=dict(self.parts))
        partial.replace(self.path)

    def read(self) -> EditTokens:
        with safe_open(self.path, framework="pt") as file:
            return EditTokens(*(file.get_tensor(name) for name in EditTokens._fields))


class CachedTokens(KeyedDataset):
    """Edits of a cache by (epoch, index); the epoch changes nothing.

    Args:
        cache: prepared by the time that the first edit is asked for.
        count: edits in the cache.
    """

    def __init__(self, cache: TokenCache, count: int) -> None:
        self.cache, self.count = cache, count

    @functools.cached_property
    def tokens(self) -> EditTokens:
        return self.cache.read()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Key) -> int:
        return key[1]  # gathered for the whole batch by `collate`

    def collate(self, items: list[int]) -> EditTokens:
        rows = torch.tensor(items)
        ids = (part[rows].long() for part in self.tokens[:3])
        return EditTokens._make((*ids, self.tokens.region_cells[rows]))


def encode_all(editor: Editor, edits: KeyedDataset, count: int, workers: int) -> EditTokens:
    """The first `count` edits, from epoch to epoch where there are fewer in one."""
    keys = [(n // len(edits), n % len(edits)) for n in range(count)]
    batches = DataLoader(
        edits, batch_size=BATCH, sampler=keys, num_workers=workers, collate_fn=edits.collate
    )
    parts: list[EditTokens] = []
    with progress_bars() as report:
        for batch in batches:
            parts.append(editor.tokenize(batch))
            report("encoding batches of edits", len(parts), len(batches))
    columns = list(zip(*parts, strict=True))
    ids = (torch.cat(column).to(torch.uint16) for column in columns[:3])
    return EditTokens._make((*ids, torch.cat(columns[3])))


def weights_hash(network: nn.Module) -> str:
    """The same for the same names and numbers, wherever they are kept."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _image_list(images: Images, count: int) -> Iterator[Any]:
    """The data set's plain settings, then names of the images that `count` edits are made of.

    Where a name is a file below the data set's `root`, its size and time of change too: a folder
    that moved is the same, and a file that was replaced is not.
    """
    plain = (bool, int, float, str)
    settings = {name: v for name, v in vars(images).items() if isinstance(v, plain)}
    yield [type(images).__name__, settings]
    root = getattr(images, "root", None)
    for name in map(images.name, range(min(count, len(images)))):
        path = Path(root or "", name)
        file = path.stat() if root is not None and path.is_file() else None
        yield [name, *((file.st_size, file.st_mtime_ns) if file else ())]


def _short_hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

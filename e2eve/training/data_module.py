"""Batches of simulated edits, resumable to the item; as images, or as ids that are encoded once.

A tokenizer that is not trained gives the same ids for the same edit, so that encoding once and
reading ids afterwards trains the same editor in a fraction of the time. A cache belongs to the
content of what it was made of, not to paths: weights of the tokenizers, the list of images with
sizes and times, simulation and seed.
"""

import functools
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from e2eve.conditioning import EditBatch
from e2eve.data.keyed import Key, KeyedDataset, KeyedSampler, generator_for
from e2eve.data.splits import Images
from e2eve.edit_simulation import SimulatedEdit
from e2eve.editor import Editor
from e2eve.reporting.progress import progress_bars
from e2eve.training.signals import held_back, leave_with_main_process
from e2eve.transformer import EditTokens

log = logging.getLogger(__name__)

# Edits that are encoded at once.
BATCH = 64


class Simulated(KeyedDataset):
    """Images put through a simulation whose randomness follows from (seed, epoch, index).

    Args:
        simulate: makes an example of an image.
    """

    def __init__(
        self,
        images: Images,
        simulate: Callable[[np.ndarray, np.random.Generator], Any],
        seed: int,
    ) -> None:
        self.images, self.simulate, self.seed = images, simulate, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Any:
        return self.simulate(self.images[key[1]], generator_for(self.seed, key))

    def collate(self, items: list[Any]) -> Any:
        """An `EditBatch` of simulated edits; other examples are stacked."""
        if isinstance(items[0], SimulatedEdit):
            return EditBatch.collate(items)
        return super().collate(items)


class Loader(DataLoader):
    """Batches; loader processes leave signals to the main one, from their first moment on.

    On Linux they are forked off it whatever Python's default is: those of a fork server, as Python
    3.14 has it, do not notice that the main one is gone, and share no drawn images.
    """

    def __iter__(self) -> Any:
        if self.num_workers and sys.platform == "linux":
            self.multiprocessing_context = "fork"
        with held_back():
            return super().__iter__()


class FirstEpoch(SequentialSampler):
    """Keys of the first epoch in order, the same whenever it is asked.

    A sequential sampler is what Lightning's `overfit_batches` leaves in its place.
    """

    def __init__(self, length: int, rank: int = 0, ranks: int = 1) -> None:
        self.keys = [(0, index) for index in range(rank, length, ranks)]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys)


class ResumableData(pl.LightningDataModule):
    """Training batches that continue where a checkpoint was written, and fixed validation batches.

    Args:
        batch_size: examples per process and batch.
        workers: loader processes.
        val_length: validation examples that are looked at; None: all.

    Raises:
        ValueError: if the training set is smaller than one batch.
    """

    trainer: pl.Trainer  # there before Lightning asks for anything

    def __init__(
        self,
        train: KeyedDataset,
        val: KeyedDataset,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        val_length: int | None = None,
    ) -> None:
        super().__init__()
        if len(train) < batch_size:
            raise ValueError(
                f"The training set has {len(train)} images, fewer than one batch of "
                f"{batch_size}: add images or lower batch_size."
            )
        self.train, self.val = train, val
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.val_length = min(len(val), val_length or len(val))
        self.epoch, self.batch = 0, 0  # where the next batch is

    def state_dict(self) -> dict[str, int]:
        """Where the first loader of a resumed run starts: its epoch, and batches of that."""
        loop, batches = self.trainer.fit_loop.epoch_loop, int(self.trainer.num_training_batches)
        epoch, batch = divmod(loop.total_batch_idx + 1, batches)
        if self.trainer.validating and not batch:  # Lightning goes through the rest of that epoch
            epoch, batch = epoch - 1, batches
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.batch = state["epoch"], state["batch"]

    def names(self, most: int = 8) -> list[str]:
        """Images of the batch under way in this process, the first of them where there are more."""
        loop, batches = self.trainer.fit_loop.epoch_loop, int(self.trainer.num_training_batches)
        epoch, batch = divmod(max(0, loop.total_batch_idx), batches)
        keys = list(self._sampler(epoch, batch))[: self.batch_size]
        source = self.train.edits if isinstance(self.train, CachedTokens) else self.train
        if not isinstance(source, Simulated):
            return []
        indices = [index % len(source) for _, index in keys]
        more = [f"and {len(indices) - most} more"] if len(indices) > most else []
        return [source.images.name(index) for index in indices[:most]] + more

    def _sampler(self, epoch: int, batch: int) -> KeyedSampler | FirstEpoch:
        """Keys of this process from that batch on."""
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        if self.trainer.overfit_batches:  # type: ignore[attr-defined]
            return FirstEpoch(len(self.train), rank, ranks)
        return KeyedSampler(
            len(self.train),
            self.seed,
            start=(epoch, batch * self.batch_size),
            rank=rank,
            ranks=ranks,
        )

    def train_dataloader(self) -> DataLoader:
        sampler = self._sampler(self.epoch, self.batch)
        return self._loader(self.train, sampler, drop_last=isinstance(sampler, KeyedSampler))

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, FirstEpoch(self.val_length))

    def _loader(self, dataset: KeyedDataset, sampler: Any, drop_last: bool = False) -> DataLoader:
        return Loader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            collate_fn=dataset.collate,
            worker_init_fn=leave_with_main_process,
        )


class CachedTokens(KeyedDataset):
    """The first edits of a data set as ids in a file; the epoch of a key changes nothing.

    parts: a short hash for each thing that the ids depend on, by its name in sentences.

    Args:
        path: of the file, prepared by the time that the first edit is asked for.
        count: edits in it.
        simulation: the config of the edit simulation.
    """

    def __init__(
        self,
        path: Path,
        editor: Editor,
        edits: Simulated,
        count: int,
        simulation: Mapping[str, Any],
    ) -> None:
        self.path, self.edits, self.count = path, edits, count
        tokenizers = dict.fromkeys([editor.source_tokenizer, editor.driver_tokenizer])
        parts = {
            "tokenizers": [[each.describe(), weights_hash(each)] for each in tokenizers],
            "images": list(_image_list(edits.images, count)),
            "simulation": dict(simulation),
            "numbers": [count, len(edits), edits.seed],
        }
        texts = {
            name: json.dumps(part, sort_keys=True, default=str) for name, part in parts.items()
        }
        self.parts = {
            name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()
        }

    def outdated(self) -> list[str]:
        """Names of what has changed since the file was written; all where none can be read."""
        try:
            with safe_open(self.path, framework="pt") as file:
                found = file.metadata() or {}
        except (OSError, SafetensorError):
            return list(self.parts)
        return [name for name, part in self.parts.items() if found.get(name) != part]

    def prepare(self, editor: Editor, workers: int) -> None:
        """Encode the edits, unless the file holds them already."""
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
        megabytes = self.count * (2 * layout.length + layout.target) / 1e6
        log.info(
            "Encoding %d simulated edits once, %.1f MB on disk; token_cache=… and "
            "loader.val_length=… say how many.",
            self.count,
            megabytes,
        )
        parts = self._begun()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            for tokens in encode_all(editor, self.edits, self.count, workers, len(parts)):
                parts.append(tokens)
        except BaseException:  # a signal above all
            if parts:
                self._save(parts, self.begun)
            raise
        self._save(parts, self.path)
        self.begun.unlink(missing_ok=True)

    @property
    def begun(self) -> Path:
        """The file of what was encoded when an encoding was interrupted."""
        return self.path.with_suffix(".begun.safetensors")

    def _begun(self) -> list[EditTokens]:
        """Batches of an interrupted encoding of the same edits."""
        try:
            with safe_open(self.begun, framework="pt") as file:
                if file.metadata() != self.parts:
                    return []
                tokens = EditTokens(*(file.get_tensor(name) for name in EditTokens._fields))
        except (OSError, SafetensorError):
            return []
        return [
            EditTokens(*part) for part in zip(*(ids.split(BATCH) for ids in tokens), strict=True)
        ]

    def _save(self, parts: list[EditTokens], path: Path) -> None:
        """In one piece: nobody reads half a file."""
        columns = list(zip(*parts, strict=True))
        ids = [torch.cat([part.to(torch.uint16) for part in column]) for column in columns[:3]]
        tokens = EditTokens._make((*ids, torch.cat(columns[3])))
        partial = path.with_suffix(".partial")
        save_file(tokens._asdict(), partial, metadata=self.parts)
        partial.replace(path)

    @functools.cached_property
    def tokens(self) -> EditTokens:
        with safe_open(self.path, framework="pt") as file:
            return EditTokens(*(file.get_tensor(name) for name in EditTokens._fields))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Key) -> int:
        return key[1]  # gathered for the whole batch by `collate`

    def collate(self, items: list[int]) -> EditTokens:
        rows = torch.tensor(items)
        ids = (part[rows].long() for part in self.tokens[:3])
        return EditTokens._make((*ids, self.tokens.region_cells[rows]))


def encode_all(
    editor: Editor, edits: KeyedDataset, count: int, workers: int, done: int = 0
) -> Iterator[EditTokens]:
    """Batches of the first `count` edits, from epoch to epoch where there are fewer in one.

    They are encoded where the editor is.

    Args:
        done: batches of them that are there.
    """
    keys = [(n // len(edits), n % len(edits)) for n in range(count)]
    batches = Loader(
        edits,
        batch_size=BATCH,
        sampler=keys[done * BATCH :],
        num_workers=workers,
        collate_fn=edits.collate,
        worker_init_fn=leave_with_main_process,
    )
    with progress_bars() as report:
        for number, batch in enumerate(batches, start=done + 1):
            tokens = editor.tokenize(EditBatch._make(part.to(editor.device) for part in batch))
            yield EditTokens._make(part.cpu() for part in tokens)
            report("encoding batches of edits", number, done + len(batches))


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
    given = vars(images).items()
    plain = {name: value for name, value in given if isinstance(value, bool | int | float | str)}
    yield [type(images).__name__, plain]
    root = getattr(images, "root", None)
    for name in map(images.name, range(min(count, len(images)))):
        path = Path(root or "", name)
        file = path.stat() if root is not None and path.is_file() else None
        yield [name, *((file.st_size, file.st_mtime_ns) if file else ())]

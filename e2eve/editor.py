"""Editor: two tokenizers and a GPT that writes edits; opens from a bundle alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from e2eve.bundle import read_bundle, write_bundle
from e2eve.data.images import to_uint8
from e2eve.editing import EditRequest, Edits, Picture, Region
from e2eve.features import FeatureExtractor, build_perceptual
from e2eve.features.base import PooledMaps
from e2eve.metrics.masked import tokens_in_region
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import GPT, GPTConfig, SamplingSettings, SequenceLayout
from e2eve.transformer.engine import Draft, sample
from e2eve.transformer.packed import release

HOLE = -1.0  # what the source tokenizer sees in the region: black, as published weights expect


class Conditioning(NamedTuple):
    driver_ids: Int[Tensor, "batch driver"]
    source_ids: Int[Tensor, "batch source"]


def blank(
    images: Float[Tensor, "batch 3 height width"], regions: Bool[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """The masked source: the region filled with `HOLE`."""
    return images.masked_fill(regions, HOLE)


class Editor(nn.Module):
    """p(edit | masked source, driver) over token ids.

    Its tokenizers round coarsely where that halves their time, see `Tokenizer.coarse`.

    Args:
        source_tokenizer: reads the masked source and paints the edit.
        driver_tokenizer: reads the driver; the source tokenizer itself when they are shared.
        driver_size: side of the driver in pixels.
    """

    def __init__(
        self,
        source_tokenizer: Tokenizer,
        driver_tokenizer: Tokenizer,
        gpt: GPTConfig,
        driver_size: int,
    ) -> None:
        super().__init__()
        self.shared = driver_tokenizer is source_tokenizer
        self.source_tokenizer = source_tokenizer.coarse()
        if not self.shared:
            self._own_driver_tokenizer = driver_tokenizer.coarse()
        self.driver_size = driver_size
        check_seams(source_tokenizer, driver_tokenizer, gpt, driver_size)
        driver_grid = driver_size // driver_tokenizer.config.cell
        layout = SequenceLayout(driver=driver_grid**2, source=source_tokenizer.tokens)
        self.gpt = GPT(gpt, layout)
        if gpt.token_init == "codebook":
            self.gpt.start_from_codebook(source_tokenizer.quantizer.table())

    @property
    def driver_tokenizer(self) -> Tokenizer:
        return self.source_tokenizer if self.shared else self._own_driver_tokenizer

    @property
    def image_size(self) -> int:
        return self.source_tokenizer.image_size

    @property
    def device(self) -> torch.device:
        return self.gpt.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.gpt.head.weight.dtype

    def train(self, mode: bool = True) -> "Editor":
        """A training needs the memory of what the last sampling has packed."""
        release(self.gpt)
        return super().train(mode)

    def freeze_tokenizers(self) -> "Editor":
        """Only the GPT learns from now on."""
        for tokenizer in (self.source_tokenizer, self.driver_tokenizer):
            tokenizer.eval().requires_grad_(False)
        return self

    @torch.no_grad()
    def condition(
        self,
        sources: Float[Tensor, "batch 3 side side"],
        regions: Bool[Tensor, "batch 1 side side"],
        drivers: Float[Tensor, "batch 3 driver_side driver_side"],
    ) -> Conditioning:
        """Ids of drivers and masked sources; what lies inside the region is not looked at."""
        return Conditioning(
            self.driver_tokenizer.encode(drivers),
            self.source_tokenizer.encode(blank(sources, regions)),
        )

    def logits(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target codebook"]:
        """Logits of every target token given those before it and the conditioning."""
        return self.gpt.target_logits(driver_ids, source_ids, target_ids)

    @torch.no_grad()
    def draft(
        self,
        conditioning: Conditioning,
        sources: Float[Tensor, "batch 3 side side"],
        regions: Bool[Tensor, "batch 1 side side"],
        pastes: Float[Tensor, "batch 3 side side"],
        settings: SamplingSettings,
    ) -> Draft:
        """What sampling may guess of these inputs, and what it preserves, as the settings say.

        Outside the region the guess is what the editor has read, the masked source's ids: near the
        region the source's own differ from them, as the encoder sees what lies inside.

        Args:
            pastes: the drivers pasted into the sources; looked at for `settings.draft="paste"`.
        """
        grid = self.image_size // self.source_tokenizer.config.cell
        inside = tokens_in_region(regions, grid).touched
        ids, known = conditioning.source_ids, torch.zeros_like(inside)
        if settings.draft == "paste":
            ids = torch.where(inside, self.source_tokenizer.encode(pastes), ids)
        if settings.preserve == "tokens":
            known = ~inside
            ids = torch.where(known, self.source_tokenizer.encode(sources), ids)
        return Draft(ids, known)

    def sample(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        *,
        num_samples: int = 4,
        seed: int | Sequence[int] = 0,
        settings: SamplingSettings | None = None,
        draft: Draft | None = None,
        advance: Callable[[int], None] = lambda done: None,
    ) -> Int[Tensor, "batch num_samples target"]:
        """Draw edits.

        Args:
            seed: one for all inputs, or one for each. Sample n of a seed is the same picture
                whatever the batch and however many samples are asked for.
            draft: what `draft` makes of the inputs; without it nothing is preserved.
            advance: told after each pass how many tokens of every sample are drawn.

        Raises:
            ValueError: when num_samples is below 1, the seeds do not match the inputs, or tokens
                should be preserved and no draft says which.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}: ask for at least 1.")
        seeds = [seed] * len(source_ids) if isinstance(seed, int) else list(seed)
        if len(seeds) != len(source_ids):
            raise ValueError(f"{len(seeds)} seeds for {len(source_ids)} inputs: give one each.")
        settings = settings or SamplingSettings()
        if settings.preserve is not None and draft is None:
            raise ValueError(f'preserve is "{settings.preserve}" without a draft: give one of it.')
        return sample(
            self.gpt,
            driver_ids,
            source_ids,
            num_samples=num_samples,
            seeds=seeds,
            settings=settings,
            empty_driver=self.empty_driver() if settings.guidance != 1 else None,
            codes=self.source_tokenizer.codebook_size,
            draft=draft,
            advance=advance,
        ).ids

    @torch.no_grad()
    def empty_driver(self) -> Int[Tensor, "driver"]:
        """Ids of a driver that shows nothing: plain grey."""
        side = self.driver_size
        grey = torch.zeros(1, 3, side, side, device=self.device, dtype=self.dtype)
        return self.driver_tokenizer.encode(grey)[0]

    @torch.no_grad()
    def decode(
        self, ids: Int[Tensor, "batch num_samples target"]
    ) -> Float[Tensor, "batch num_samples 3 side side"]:
        """Pictures in [-1, 1] of sampled ids."""
        images = self.source_tokenizer.decode(rearrange(ids, "b n t -> (b n) t"))
        return rearrange(images, "(b n) c h w -> b n c h w", b=ids.shape[0])

    def edit(
        self,
        source: Picture,
        driver: Picture,
        region: Region,
        *,
        num_samples: int = 4,
        seed: int = 0,
        advance: Callable[[int], None] = lambda done: None,
        **sampling: Any,
    ) -> Edits:
        """Draw edits of a picture of any size and rank them by how well they show the driver.

        Args:
            source, driver: a path, a Pillow picture or a uint8 array (height, width, 3). Of a
                driver that is not square the largest centred square is used.
            region: a Box in pixels of the source, or a mask of its size, white where to edit.
            seed: 0 or more; sample n of a seed is the same whatever `num_samples` is.
            advance: told after each pass how many tokens of every sample are drawn.
            sampling: fields of `SamplingSettings`: temperature, top_k, top_p, guidance, …

        Raises:
            ValueError: one sentence on what is wrong and what to give instead.
        """
        if seed < 0:
            raise ValueError(f"seed is {seed}: use 0 or more.")
        settings = SamplingSettings(**sampling)
        request = EditRequest.of(source, driver, region, self.image_size, self.driver_size)
        tensors = request.tensors(self.device, self.dtype)
        conditioning = self.condition(tensors.sources, tensors.regions, tensors.drivers)
        ids = self.sample(
            *conditioning,
            num_samples=num_samples,
            seed=seed,
            settings=settings,
            draft=self.draft(
                conditioning, tensors.sources, tensors.regions, tensors.pastes, settings
            ),
            advance=advance,
        )
        # One at a time: the same pixels and the same memory for any number of samples.
        painted = [to_uint8(self.decode(part)[0, 0]) for part in ids.split(1, dim=1)]
        return request.ranked(painted, seed, self.extractor.to(self.device))

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """What ranks edits; no part of the editor's state, and not built before it is needed."""
        perceptual = build_perceptual("efficientnet_lite0")
        assert perceptual is not None  # which is for the name "none" only
        return PooledMaps(perceptual)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "Editor":
        """Open a bundle or a run folder; nothing else is needed.

        Raises:
            ValueError: when there is no editor there, or its weights do not fit.
        """
        bundle = read_bundle(path, kind="editor")
        editor = cls.from_description(bundle.config)
        for name, network in editor.networks().items():
            bundle.load(network, name)
        return editor.to(device=device, dtype=dtype).eval()

    def networks(self) -> dict[str, nn.Module]:
        """The parts of a bundle, by file name."""
        parts = {"source_tokenizer": self.source_tokenizer, "transformer": self.gpt}
        return parts if self.shared else {**parts, "driver_tokenizer": self.driver_tokenizer}

    def describe(self) -> dict:
        """What `from_description` needs to build the same networks."""
        return {
            "source_tokenizer": self.source_tokenizer.describe(),
            "driver_tokenizer": None if self.shared else self.driver_tokenizer.describe(),
            "driver_size": self.driver_size,
            "transformer": asdict(self.gpt.config),
        }

    @classmethod
    def from_description(cls, description: dict) -> "Editor":
        source = Tokenizer.from_description(description["source_tokenizer"])
        driver = source
        if description["driver_tokenizer"] is not None:
            driver = Tokenizer.from_description(description["driver_tokenizer"])
        config = GPTConfig(**description["transformer"])
        return cls(source, driver, config, description["driver_size"])

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write config.yaml and a safetensors file for each network."""
        return write_bundle(folder, "editor", self.describe(), self.networks())


def check_seams(source: Tokenizer, driver: Tokenizer, gpt: GPTConfig, driver_size: int) -> None:
    """Raise one sentence where the parts do not fit each other, naming both values."""
    for name, tokenizer in (("source", source), ("driver", driver)):
        if tokenizer.codebook_size > gpt.codebook_size:
            raise ValueError(
                f"The {name} tokenizer has {tokenizer.codebook_size} codes and the transformer "
                f"reads {gpt.codebook_size}: set transformer.codebook_size to the larger codebook."
            )
    if driver_size % driver.config.cell:
        raise ValueError(
            f"driver_size {driver_size} is no multiple of the driver tokenizer's cell of "
            f"{driver.config.cell} pixels: choose a multiple."
        )
    if driver is not source and driver.image_size != driver_size:
        raise ValueError(
            f"driver_size is {driver_size} and the driver tokenizer was made for "
            f"{driver.image_size} pixels: set driver_size={driver.image_size} or train another."
        )

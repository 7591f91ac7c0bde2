"""Editor: two tokenizers and a token model that draws edits; opens from a bundle alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from e2eve.bundle import read_bundle, write_bundle
from e2eve.checks import check_number, require, whole_number
from e2eve.conditioning import EditBatch, EditInputs, apply_mask, region_cells
from e2eve.config import about, device_of, import_targets
from e2eve.data.images import to_uint8
from e2eve.editing import Driver, EditRequest, Edits, ImageInput, Picture, RegionInput
from e2eve.editing.inputs import apart
from e2eve.editing.trained_on import TrainedOn
from e2eve.features import FeatureExtractor, build_extractor
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import (
    Conditioning,
    EditTokens,
    Progress,
    SamplingSettings,
    SequenceLayout,
    TokenModelConfig,
    TokenNLL,
    build_token_model,
    config_from_description,
)
from e2eve.transformer.compatibility import fitted, validate_compatibility

RANKED_BY = "efficientnet_lite2_maps"  # no tokenizer is trained on this network


class Editor(nn.Module):
    """p(edit | masked source, driver) over token ids.

    Its tokenizers use Winograd convolutions where these halve their time (`use_winograd`).

    Args:
        source_tokenizer: reads the masked source and paints the edit.
        driver_tokenizer: reads the driver; the source tokenizer itself when they are shared.
        driver_size: side of the driver in pixels.

    Attributes:
        trained_on: what it was trained on, to tell what is unlike it; None: nobody knows.
    """

    trained_on: TrainedOn | None = None

    def __init__(
        self,
        source_tokenizer: Tokenizer,
        driver_tokenizer: Tokenizer,
        transformer: TokenModelConfig,
        driver_size: int,
    ) -> None:
        super().__init__()
        self.shared = driver_tokenizer is source_tokenizer
        self.source_tokenizer = source_tokenizer.use_winograd()
        if not self.shared:
            self._own_driver_tokenizer = driver_tokenizer.use_winograd()
        self.driver_size = driver_size
        transformer = fitted(transformer, source_tokenizer, driver_tokenizer)
        validate_compatibility(source_tokenizer, driver_tokenizer, transformer, driver_size)
        driver = (driver_size // driver_tokenizer.config.cell) ** 2
        layout = SequenceLayout(driver=driver, source=source_tokenizer.tokens)
        self.transformer = build_token_model(transformer, layout)
        self.transformer.start_from_codebook(source_tokenizer.quantizer.table())

    @property
    def driver_tokenizer(self) -> Tokenizer:
        return self.source_tokenizer if self.shared else self._own_driver_tokenizer

    @property
    def image_size(self) -> int:
        return self.source_tokenizer.image_size

    @property
    def device(self) -> torch.device:
        return next(self.transformer.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.transformer.parameters()).dtype

    def with_decoder_of(self, tokenizer: Tokenizer) -> "Editor":
        """This editor, which paints with that tokenizer from now on: one that task=decoder made.

        Raises:
            ValueError: when its encoder or codebook is not that of the editor's source tokenizer.
        """
        tokenizer.check_encodes_as(self.source_tokenizer)
        self.source_tokenizer = tokenizer.use_winograd().to(self.device, self.dtype).eval()
        return self

    def freeze_tokenizers(self) -> "Editor":
        """Only the transformer learns from now on."""
        for tokenizer in (self.source_tokenizer, self.driver_tokenizer):
            tokenizer.eval().requires_grad_(False)
        return self

    @torch.no_grad()
    def tokenize(self, edits: EditBatch | EditInputs) -> EditTokens:
        """Ids of drivers, masked sources and targets; of inputs the source itself is the target."""
        inputs = edits.inputs if isinstance(edits, EditBatch) else edits
        # One pass over both: on a CPU ids are the same in any batch.
        images = torch.cat([inputs.sources, apply_mask(inputs.sources, inputs.regions)])
        target_ids, source_ids = self.source_tokenizer.encode(images).chunk(2)
        driver_ids = self.driver_tokenizer.encode(inputs.drivers)
        return EditTokens(driver_ids, source_ids, target_ids, self.cells(inputs.regions))

    def nll(self, edits: EditBatch | EditInputs | EditTokens) -> TokenNLL:
        """Likelihoods of the targets' tokens in nats; of inputs the source itself is the target."""
        nll = self.transformer.nll(edits if isinstance(edits, EditTokens) else self.tokenize(edits))
        require(isinstance(nll, TokenNLL), self.transformer.nll, nll, "a TokenNLL")
        return nll

    def cells(self, regions: Bool[Tensor, "batch 1 side side"]) -> Bool[Tensor, "batch target"]:
        """Cells of the source tokenizer that the regions touch."""
        return region_cells(regions, self.image_size // self.source_tokenizer.config.cell)

    @torch.no_grad()
    def condition(
        self,
        inputs: EditInputs,
        settings: SamplingSettings | None = None,
        blends: Float[Tensor, "batch 3 side side"] | None = None,
    ) -> Conditioning:
        """What edits are drawn from; a token model reads nothing of what lies inside the region.

        Args:
            blends: the drivers blended into the sources, for `settings.reads_blends`.

        Raises:
            ValueError: when the settings ask for blends and none are given.
        """
        settings = self.settings(settings)
        if settings.reads_blends and blends is None:
            raise ValueError("The sampling settings ask for blends of the drivers: give them.")
        encode, masked = self.source_tokenizer.encode, apply_mask(inputs.sources, inputs.regions)
        guesses = encode(blends) if blends is not None and settings.reads_blends else None
        return Conditioning(
            driver_ids=self.driver_tokenizer.encode(inputs.drivers),
            source_ids=encode(masked),
            region_cells=self.cells(inputs.regions),
            preserved_ids=encode(inputs.sources) if settings.preserve == "tokens" else None,
            guess_ids=guesses,
            empty_driver_ids=self.empty_driver() if settings.guidance != 1 else None,
            codebook_size=self.source_tokenizer.codebook_size,
        )

    def draw(
        self,
        inputs: EditInputs,
        *,
        num_samples: int = 4,
        seeds: Sequence[int],
        settings: SamplingSettings | None = None,
        blends: Float[Tensor, "batch 3 side side"] | None = None,
        progress: Progress = lambda done: None,
    ) -> Float[Tensor, "batch num_samples 3 side side"]:
        """Images in [-1, 1] of drawn edits.

        Args:
            seeds: one for each input. Sample n of a seed is the same image whatever the batch and
                however many samples are asked for.
            blends: as in `condition`.
            progress: told after each pass how many tokens of every sample are drawn.

        Raises:
            ValueError: when num_samples is below 1 or the seeds don't match the inputs.
        """
        settings = self.settings(settings)
        ids = self.sample_ids(
            self.condition(inputs, settings, blends),
            num_samples=num_samples,
            seeds=seeds,
            settings=settings,
            progress=progress,
        )
        return self.decode(ids, inputs)

    def logits(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target codebook"]:
        """Logits of every target token given those before it and the conditioning.

        Raises:
            ValueError: when the transformer's family has none.
        """
        everywhere = torch.ones_like(target_ids, dtype=torch.bool)
        return self.transformer.logits(EditTokens(driver_ids, source_ids, target_ids, everywhere))

    def sample(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        *,
        num_samples: int = 4,
        seed: int | Sequence[int] = 0,
        settings: SamplingSettings | None = None,
        progress: Progress = lambda done: None,
    ) -> Int[Tensor, "batch num_samples target"]:
        """Draw the ids of edits, all cells as if the region touched them.

        Args:
            seed: one for all inputs, or one for each.
            progress: told after each pass how many tokens of every sample are drawn.

        Raises:
            ValueError: when num_samples is below 1, the seeds don't match the inputs, or tokens
                should be preserved, for which `condition` and `sample_ids` are there.
        """
        settings = self.settings(settings)
        if settings.preserve is not None:
            raise ValueError(
                f'preserve is "{settings.preserve}" and ids alone don\'t say what lies outside the '
                "region: use edit, draw or condition."
            )
        conditioning = Conditioning(
            driver_ids,
            source_ids,
            region_cells=torch.ones_like(source_ids, dtype=torch.bool),
            empty_driver_ids=self.empty_driver() if settings.guidance != 1 else None,
            codebook_size=self.source_tokenizer.codebook_size,
        )
        seeds = list(seed) if isinstance(seed, Iterable) else [seed] * len(source_ids)
        return self.sample_ids(
            conditioning,
            num_samples=num_samples,
            seeds=seeds,
            settings=settings,
            progress=progress,
        )

    def sample_ids(
        self,
        conditioning: Conditioning,
        *,
        num_samples: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        progress: Progress = lambda done: None,
    ) -> Int[Tensor, "batch num_samples target"]:
        """Draw the ids of edits from what `condition` makes of inputs and settings."""
        count = len(conditioning.source_ids)
        if len(seeds) != count:
            raise ValueError(f"{len(seeds)} seeds for {count} inputs: give one each.")
        ids = self.transformer.sample(
            conditioning,
            num_samples=whole_number("num_samples", num_samples, "ask for at least 1"),
            seeds=[whole_number("seed", seed, "use 0 or more", 0) for seed in seeds],
            settings=settings,
            progress=progress,
        )
        shape = (count, num_samples, self.transformer.layout.target)
        require(getattr(ids, "shape", ()) == shape, self.transformer.sample, ids, f"ids of {shape}")
        return ids

    def settings(
        self, given: SamplingSettings | Mapping[str, Any] | None = None
    ) -> SamplingSettings:
        """Sampling settings of this editor's transformer.

        Args:
            given: by name, such as a config's node `sampling`; settings of any token model.

        Raises:
            ValueError: when one is unknown to the transformer's family, or out of its range.
        """
        if isinstance(given, self.transformer.sampling):
            return given
        if isinstance(given, SamplingSettings):
            given = asdict(given)
        return self.transformer.settings(given or {})

    @torch.no_grad()
    def empty_driver(self) -> Int[Tensor, "driver"]:
        """Ids of a driver that shows nothing: plain grey."""
        side = self.driver_size
        grey = torch.zeros(1, 3, side, side, device=self.device, dtype=self.dtype)
        return self.driver_tokenizer.encode(grey)[0]

    @torch.no_grad()
    def decode(
        self, ids: Int[Tensor, "batch num_samples target"], inputs: EditInputs | None = None
    ) -> Float[Tensor, "batch num_samples 3 side side"]:
        """Images in [-1, 1] of sampled ids.

        Args:
            inputs: what was edited, for a decoder that sees what surrounds the region.
        """
        around: list[Tensor] = []
        if inputs is not None and self.source_tokenizer.sees_source:
            around = [each.repeat_interleave(ids.shape[1], 0) for each in inputs[:2]]
        images = self.source_tokenizer.decode(rearrange(ids, "b n t -> (b n) t"), *around)
        return rearrange(images, "(b n) c h w -> b n c h w", b=ids.shape[0])

    def edit(
        self,
        source: ImageInput,
        driver: ImageInput | Driver | list[ImageInput | Driver],
        region: RegionInput | list[RegionInput],
        *,
        num_samples: int = 4,
        keep: int | None = None,
        seed: int = 0,
        feather: float | None = None,
        progress: Progress = lambda done: None,
        **sampling: Any,
    ) -> Edits:
        """Draw edits of an image of any size and rank them by how well they show the driver.

        Several regions, with a driver each, are edited one after the other: the best edit of the
        first is the source of the second, and so on, as separate calls would.

        Args:
            source: a path, a Pillow image or a uint8 array (height, width, 3). Bits, colour space
                and transparency of the edits are its own.
            driver: the same, or a `Driver`, which may be a part of an image. Of one that is not
                square the largest centred square is used.
            region: a Box in pixels of the source, or a mask of its size, white where to edit.
            keep: how many of the samples are kept, the best ones; None keeps all.
            seed: 0 or more; sample n of a seed is the same whatever `num_samples` is.
            feather: width of the rim inside the region in which source and edit mix, in pixels of
                the source; None: a 128th of the square that the editor works on.
            progress: told after each pass how many tokens of every sample are drawn, and once more
                after each sample that is decoded. What it raises ends the edit and reaches the
                caller: so another thread cancels, by an event at which this raises.
            sampling: fields of `SamplingSettings`: temperature, top_k, top_p, guidance, …, and
                those of the transformer's family.

        Raises:
            ValueError: one sentence on what is wrong and what to give instead.
        """
        seed = whole_number("seed", seed, "use 0 or more", 0)
        if keep is not None:
            remedy = f"keep 1 to {num_samples}, which is num_samples"
            keep = whole_number("keep", keep, remedy, most=num_samples)
        if feather is not None:
            check_number("feather", feather, "give a number of pixels of at least 0", 0)
        settings = self.settings(sampling)
        picture = first = Picture.of(source, "source")
        regions = apart(region if isinstance(region, list) else [region], *picture.size)
        drivers = driver if isinstance(driver, list) else [driver]
        if len(drivers) != len(regions):
            raise ValueError(
                f"The number of drivers is {len(drivers)} and that of regions {len(regions)}: give "
                "a driver for each region."
            )
        sizes = (self.image_size, self.driver_size)
        remarks, shown, total = list[str](), list[Any](), self.transformer.layout.target
        if picture.pictures > 1:
            remarks.append(f"The source holds {picture.pictures} pictures: the first is edited.")
        for number, (one, mask) in enumerate(zip(drivers, regions, strict=True)):

            def told(done: int, before: int = number * total) -> None:
                progress(before + done)

            one = one if isinstance(one, Driver) else Driver(one)
            request = EditRequest.of(picture, one, mask, *sizes, feather)
            found = self._edited(request, num_samples, keep, seed, settings, told)
            if self.trained_on is not None:
                inputs = request.inputs(self.device, self.dtype)
                remarks += self.trained_on.remarks(self, inputs)
            shown += found.drivers
            if number + 1 < len(regions):
                picture = Picture.of(found.images[0], "edit")
        return replace(
            found, source=first, region=np.any(regions, axis=0), drivers=shown, remarks=remarks
        )

    def _edited(
        self,
        request: EditRequest,
        num_samples: int,
        keep: int | None,
        seed: int,
        settings: SamplingSettings,
        progress: Progress,
    ) -> Edits:
        where = (self.device, self.dtype)
        inputs = request.inputs(*where)
        ids = self.sample_ids(
            self.condition(inputs, settings, request.blends(*where)),
            num_samples=num_samples,
            seeds=[seed],
            settings=settings,
            progress=progress,
        )
        # One at a time: the same pixels and the same memory for any number of samples.
        painted = []
        for part in ids.split(1, dim=1):
            painted.append(to_uint8(self.decode(part, inputs)[0, 0]))
            progress(ids.shape[-1])
        return request.ranked(painted, seed, self.extractor.to(self.device), keep)

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """What ranks edits; no part of the editor's state, and not built before it is needed."""
        return build_extractor(RANKED_BY)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        decoder: str | Path | None = None,
    ) -> "Editor":
        """Open a bundle or a run folder; nothing else is needed.

        Args:
            device: "auto" too, the first GPU where there is one.
            decoder: the bundle or run folder of a tokenizer to paint with, see `with_decoder_of`.

        Raises:
            ValueError: when there is no editor there, its weights or the decoder do not fit, or
                the device is not there.
        """
        device = device if isinstance(device, torch.device) else device_of(device)
        bundle = read_bundle(path, kind="editor")
        editor = cls.from_description(bundle.config)
        for name, network in editor.networks().items():
            bundle.load(network, name)
        if decoder is not None:
            with about("decoder"):
                editor.with_decoder_of(Tokenizer.from_pretrained(decoder))
        return editor.to(device=device, dtype=dtype).eval()

    def networks(self) -> dict[str, nn.Module]:
        """The parts of a bundle, by file name."""
        parts = {"source_tokenizer": self.source_tokenizer, "transformer": self.transformer}
        return parts if self.shared else {**parts, "driver_tokenizer": self.driver_tokenizer}

    def describe(self) -> dict:
        """What `from_description` needs to build the same networks."""
        return {
            "source_tokenizer": self.source_tokenizer.describe(),
            "driver_tokenizer": None if self.shared else self.driver_tokenizer.describe(),
            "driver_size": self.driver_size,
            "transformer": self.transformer.describe(),
            **({"trained_on": self.trained_on.describe()} if self.trained_on else {}),
        }

    @classmethod
    def from_description(cls, description: dict) -> "Editor":
        source = Tokenizer.from_description(description["source_tokenizer"])
        own = description["driver_tokenizer"]
        driver = source if own is None else Tokenizer.from_description(own)
        # A family may come with the search path of the present command.
        search = partial(import_targets, "transformer")
        transformer = config_from_description(description["transformer"], search)
        editor = cls(source, driver, transformer, description["driver_size"])
        if "trained_on" in description:  # bundles from before know nothing of it
            editor.trained_on = TrainedOn.from_description(description["trained_on"])
        return editor

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write config.yaml and a safetensors file for each network."""
        return write_bundle(folder, "editor", self.describe(), self.networks())

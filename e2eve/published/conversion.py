"""Published checkpoints to editors and tokenizers of ours, and back."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from e2eve.bundle import check_weights, locate
from e2eve.checks import read_yaml
from e2eve.config import choose
from e2eve.editor import Editor
from e2eve.published.checkpoints import (
    DRIVER,
    OUR_DESCRIPTION,
    SOURCE,
    SOURCE_AGAIN,
    TRANSFORMER,
    Parts,
    Weights,
    read_checkpoint,
    same_weights,
    take_apart,
)
from e2eve.published.names import (
    GROUPS,
    causal_mask,
    gpt_from_published,
    gpt_shape,
    gpt_to_published,
    tokenizer_from_published,
    tokenizer_shape,
    tokenizer_to_published,
)
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.transformer import GPT, GPTConfig, TokenModelConfig, config_from_description

# The published settings of VectorQuantizer, which no weight shows.
QUANTIZER = {"commitment": 0.25, "normalised": False, "restart_after": 0}

STAGES = 4  # of opening an editor


@dataclass(frozen=True)
class Preset:
    """What the weights of a published checkpoint do not say: sizes of images, and attention.

    image_size, driver_size: sides in pixels.
    attention, driver_attention: sides of the grids at which the tokenizers have attention, checked
        against the levels at which the weights have it.
    heads: of the transformer.
    width: of the transformer that these heads belong to; None: of any.
    """

    image_size: int = 256
    attention: int = 16
    driver_size: int = 64
    driver_attention: int = 4
    heads: int = 16
    width: int | None = 1024


PRESETS = {
    "lsun_bedroom": Preset(),
    "ffhq": Preset(),
    "vqgan_256": Preset(),  # a tokenizer alone: taming-transformers' VQGANs with 16-pixel cells
    "vqgan_64": Preset(image_size=64, attention=4),  # a driver tokenizer alone
}


class Opened(NamedTuple):
    """A network of ours with published weights, and what was left of its file."""

    network: Editor | Tokenizer
    skipped: Mapping[str, int]  # how many names were not needed, by their beginning
    records: list[str]  # classes of objects that were not rebuilt

    @property
    def kind(self) -> str:
        return "editor" if isinstance(self.network, Editor) else "tokenizer"

    def rows(self) -> dict[str, str]:
        """Networks, their shapes and sizes, and what was left out of the file."""
        rows = network_rows(self.network)
        if self.skipped:
            rows["left out"] = ", ".join(f"{count} {name}" for name, count in self.skipped.items())
        if self.records:
            more = ", …" if len(self.records) > 4 else ""
            rows["not rebuilt"] = f"objects of {', '.join(self.records[:4])}{more}"
        return rows


def network_rows(network: Editor | Tokenizer) -> dict[str, str]:
    """Each network of a bundle with its shape in words."""
    if not isinstance(network, Editor):
        return {"tokenizer": tokenizer_words(network)}
    side, driver = network.driver_size, network.driver_tokenizer
    shared = f"{side} px to {side // driver.config.cell}² ids by the source tokenizer (shared)"
    model = network.transformer
    shape = ", ".join(f"{name} {value}" for name, value in model.describe().items())
    return {
        "source tokenizer": tokenizer_words(network.source_tokenizer),
        "driver tokenizer": shared if network.shared else tokenizer_words(driver),
        "transformer": f"{shape}; {model.layout.length} tokens in a sequence, "
        f"{_millions(model)} parameters",
    }


def tokenizer_words(tokenizer: Tokenizer) -> str:
    config = tokenizer.config
    return (
        f"{config.image_size} px to {config.grid}² ids, codebook {config.codebook_size} × "
        f"{config.code_dim}, {len(config.multipliers)} levels of "
        f"{config.channels}×{list(config.multipliers)} channels, {config.residual_blocks} residual "
        f"blocks a level, attention at the coarsest {config.attention_levels}, "
        f"{_millions(tokenizer)} parameters"
    )


def _millions(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M"


def open_bundle(path: str | Path) -> Editor | Tokenizer:
    """The editor or the tokenizer in a bundle or run folder, whichever it is.

    Raises:
        ValueError: when there is none, or its weights do not fit.
    """
    config = read_yaml(locate(path) / "config.yaml")
    kind = config.get("kind") if isinstance(config, dict) else None
    kinds = {"editor": Editor, "tokenizer": Tokenizer}
    return choose(str(kind), kinds, f"The kind of bundle in {path}").from_pretrained(path)


@dataclass(frozen=True)
class Published:
    """Opens published checkpoints.

    preset: what the weights do not say.
    changes: fields of the preset that are otherwise. A file that e2eve wrote says all itself.
    source_tokenizer, driver_tokenizer: published files or bundles, in place of what the editor's
        file has.
    skip: beginnings of names that are not needed, besides those of losses and metrics.
    """

    preset: Preset
    changes: Mapping[str, Any] = field(default_factory=dict)
    source_tokenizer: str | None = None
    driver_tokenizer: str | None = None
    skip: Collection[str] = ()

    def __post_init__(self) -> None:
        for name, value in self.changes.items():
            least = 0 if "attention" in name else 1
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value}: give a whole number from {least} on.")

    @property
    def sizes(self) -> Preset:
        """The preset with its changes; heads that are given are meant for any width."""
        width = None if "heads" in self.changes else self.preset.width
        return replace(self.preset, width=width, **self.changes)

    def open(self, path: str | Path, advance: Callable[[int], None] = lambda done: None) -> Opened:
        """Read a checkpoint of an editor or a tokenizer.

        Args:
            advance: told how many of `STAGES` are done: the file is read, each of three networks.

        Raises:
            ValueError: one sentence on what is wrong with the file or does not fit.
        """
        parts, noted, records = self._read(path)
        advance(1)
        if parts.transformer:
            network: Editor | Tokenizer = self._editor(parts, noted, str(path), advance)
        elif self.source_tokenizer or self.driver_tokenizer:
            raise ValueError(
                f"{path} is a tokenizer, and source_tokenizer and driver_tokenizer belong to an "
                "editor's file: leave them out."
            )
        else:
            network = self._tokenizer(parts.source, "source", noted or None, str(path))
        advance(STAGES)
        return Opened(network.eval(), parts.skipped, records)

    def _read(self, path: str | Path) -> tuple[Parts, dict, list[str]]:
        weights, noted, records = read_checkpoint(path)
        if noted and self.changes:
            raise ValueError(
                f"{path} was written by e2eve and says its own sizes and heads: leave out "
                f"{', '.join(self.changes)}."
            )
        return take_apart(weights, str(path), self.skip), noted or {}, records

    def _editor(
        self, parts: Parts, noted: dict, where: str, advance: Callable[[int], None]
    ) -> Editor:
        source = self._part(self.source_tokenizer, parts.source, "source", noted, where)
        advance(2)
        driver = self._part(self.driver_tokenizer, parts.driver, "driver", noted, where)
        advance(3)
        separate = noted.get("driver_tokenizer") and not self.driver_tokenizer
        if not separate and same_weights(source.state_dict(), driver.state_dict()):
            driver = source
        weights = parts.transformer
        shape: TokenModelConfig = (
            config_from_description(noted["transformer"])
            if noted
            else self._gpt_shape(weights, where)
        )
        driver_size = noted["driver_size"] if noted else self.sizes.driver_size
        editor = Editor(source, driver, shape, driver_size)
        check_weights(gpt_to_published(editor.transformer.state_dict()), weights, where)
        editor.transformer.load_state_dict(
            gpt_from_published(weights, editor.transformer.state_dict())
        )
        return editor

    def _part(
        self, given: str | None, weights: Weights, role: str, noted: dict, where: str
    ) -> Tokenizer:
        # Given apart, as a file or a bundle, or in the editor's file.
        if given and (given.startswith("package:") or Path(given).is_dir()):
            return Tokenizer.from_pretrained(given)
        if given:
            parts, own, _ = self._read(given)
            if parts.transformer:
                raise ValueError(f"{given} is an editor: give a tokenizer as {role}_tokenizer.")
            return self._tokenizer(parts.source, role, own or None, given)
        name = {"source": SOURCE, "driver": DRIVER}[role]
        if not weights:
            raise ValueError(
                f"{where} has no {role} tokenizer ({name}.…): give {role}_tokenizer=<published "
                "file or bundle>, for a shared tokenizer the same as the other."
            )
        described = noted.get(f"{role}_tokenizer") or noted.get("source_tokenizer")
        return self._tokenizer(weights, role, described, f"{where} ({name})")

    def _tokenizer(
        self, weights: Weights, role: str, described: dict | None, where: str
    ) -> Tokenizer:
        tokenizer = (
            Tokenizer.from_description(described)
            if described
            else Tokenizer(self._tokenizer_shape(weights, role, where), **QUANTIZER)
        )
        check_weights(tokenizer_to_published(tokenizer.state_dict()), weights, where)
        tokenizer.load_state_dict(tokenizer_from_published(weights, tokenizer.state_dict()))
        return tokenizer

    def _tokenizer_shape(self, weights: Weights, role: str, where: str) -> VQGANConfig:
        prefix, key = ("driver_", "driver_size") if role == "driver" else ("", "image_size")
        side, attention = getattr(self.sizes, key), getattr(self.sizes, f"{prefix}attention")
        shape = tokenizer_shape(weights, side, where)
        found = side >> shape.attends().index(True) if shape.attention_levels else 0
        if found != attention:
            seen, wanted = (
                f"at grids of {n} cells per side" if n else "nowhere" for n in (found, attention)
            )
            raise ValueError(
                f"The tokenizer in {where} has attention {seen} where {key} is {side}, and was "
                f"expected to have it {wanted}: give the {key} that it was trained at, or "
                f"{prefix}attention={found}."
            )
        return shape

    def _gpt_shape(self, weights: Weights, where: str) -> GPTConfig:
        sizes = self.sizes
        shape = gpt_shape(weights, sizes.heads, where)
        if sizes.width not in (None, shape.width):
            raise ValueError(
                f"The transformer in {where} has width {shape.width}, and the preset's "
                f"{sizes.heads} heads are those of width {sizes.width}: give heads=<number>."
            )
        return shape


def write_published(network: Editor | Tokenizer, path: Path) -> Path:
    """Write a PyTorch file: `state_dict` by published names, and beside it what they do not say.

    Raises:
        ValueError: when a tokenizer has no published counterpart.
    """
    if isinstance(network, Editor):
        if not isinstance(network.transformer, GPT):
            raise ValueError(
                f'The transformer is of the family "{network.transformer.family}" and published '
                "editors have GPTs: no published checkpoint can hold it."
            )
        if network.transformer.region_only:
            raise ValueError(
                "The transformer predicts the region only (targets=region) and published ones "
                "predict all cells: no published checkpoint can hold it."
            )
        check_counterpart(network.source_tokenizer, "source tokenizer")
        check_counterpart(network.driver_tokenizer, "driver tokenizer")
        state = editor_state(network)
    else:
        check_counterpart(network, "tokenizer")
        state = tokenizer_to_published(network.state_dict())
    # Parts of a fused matrix get memory of their own, else the whole is stored for each.
    stored: dict[int, Tensor] = {id(value): value.clone() for value in state.values()}
    state = {name: stored[id(value)] for name, value in state.items()}
    torch.save({"state_dict": state, OUR_DESCRIPTION: network.describe()}, path)
    return path


def editor_state(editor: Editor) -> dict[str, Tensor]:
    """All names of a published editor: masks too, and the source tokenizer twice."""
    model = editor.transformer
    assert isinstance(model, GPT)  # others have no published names
    mask = causal_mask(len(model.positions))
    gpt = gpt_to_published(model.state_dict())
    gpt |= {f"blocks.{layer}.attn.mask": mask for layer in range(model.config.layers)}
    source = tokenizer_to_published(editor.source_tokenizer.state_dict())
    driver = (
        source if editor.shared else tokenizer_to_published(editor.driver_tokenizer.state_dict())
    )
    parts = {TRANSFORMER: gpt, SOURCE: source, DRIVER: driver, SOURCE_AGAIN: source}
    return {
        f"{part}.{name}": value for part, names in parts.items() for name, value in names.items()
    }


def check_counterpart(tokenizer: Tokenizer, what: str) -> None:
    """Raises ValueError where published code has no network like this one."""
    config = tokenizer.config
    obstacles = {
        f"norm={config.norm}": config.norm != "group",
        f"patch={config.patch}": config.patch != 1,
        f"channels={config.channels}": config.channels % GROUPS != 0,
        "middle=false": not config.middle,
        "normalised=true": tokenizer.quantizer.normalised,
        f"pixel_channels={config.pixel_channels}": config.pixel_channels != 0,
        f"decoder={config.decoder}": config.decoder != "plain",
    }
    found = [setting for setting, obstructs in obstacles.items() if obstructs]
    if found:
        raise ValueError(
            f"The {what} has {', '.join(found)}, which published networks cannot have: train one "
            "with vqgan=base to share its weights by published names."
        )

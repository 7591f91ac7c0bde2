"""From a published checkpoint to an editor or a tokenizer of ours."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from e2eve.bundle import check_weights, locate
from e2eve.config import choose
from e2eve.editor import Editor
from e2eve.published.checkpoints import read_checkpoint
from e2eve.published.family import DRIVER, SOURCE, Parts, Weights, same_weights, take_apart
from e2eve.published.names import (
    gpt_from_published,
    gpt_to_published,
    tokenizer_from_published,
    tokenizer_to_published,
)
from e2eve.published.presets import Preset
from e2eve.published.shapes import gpt_shape, tokenizer_shape
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.transformer import GPTConfig, TokenModelConfig, config_from_description

# The published settings of VectorQuantizer, which no weight shows.
QUANTIZER = {"commitment": 0.25, "normalised": False, "restart_after": 0}

STAGES = 4  # of opening an editor


class Opened(NamedTuple):
    """A network of ours with published weights, and what was left of its file."""

    network: Editor | Tokenizer
    skipped: Mapping[str, int]  # how many names were not needed, by their beginning
    records: list[str]  # classes of objects that were not rebuilt

    @property
    def family(self) -> str:
        return "editor" if isinstance(self.network, Editor) else "tokenizer"


def open_bundle(path: str | Path) -> Editor | Tokenizer:
    """The editor or the tokenizer in a bundle or run folder, whichever it is.

    Raises:
        ValueError: when there is none, or its weights do not fit.
    """
    config: Any = OmegaConf.load(locate(path) / "config.yaml")
    kind = config.get("kind") if isinstance(config, DictConfig) else None
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
        """Read a checkpoint of either family.

        Args:
            advance: told how many of `STAGES` are done: the file is read, each of three networks.

        Raises:
            ValueError: one sentence on what is wrong with the file or does not fit.
        """
        parts, noted, records = self._read(path)
        advance(1)
        if parts.family == "editor":
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
        weights, driver_size = parts.transformer, self.sizes.driver_size
        shape: TokenModelConfig
        if noted:
            shape = config_from_description(noted["transformer"])
            driver_size = noted["driver_size"]
        else:
            shape = self._gpt_shape(weights, where)
        editor = Editor(source, driver, shape, driver_size)
        check_weights(gpt_to_published(editor.transformer.state_dict()), weights, where)
        editor.transformer.load_state_dict(
            gpt_from_published(weights, editor.transformer.state_dict())
        )
        return editor

    def _part(
        self, given: str | None, weights: Weights, role: str, noted: dict, where: str
    ) -> Tokenizer:
        """A tokenizer of an editor: given apart, as a file or a bundle, or in the editor's file."""
        if given and (given.startswith("package:") or Path(given).is_dir()):
            return Tokenizer.from_pretrained(given)
        if given:
            parts, own, _ = self._read(given)
            if parts.family != "tokenizer":
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
        if described:
            tokenizer = Tokenizer.from_description(described)
        else:
            tokenizer = Tokenizer(self._tokenizer_shape(weights, role, where), **QUANTIZER)
        check_weights(tokenizer_to_published(tokenizer.state_dict()), weights, where)
        tokenizer.load_state_dict(tokenizer_from_published(weights, tokenizer.state_dict()))
        return tokenizer

    def _tokenizer_shape(self, weights: Weights, role: str, where: str) -> VQGANConfig:
        sizes = self.sizes
        side, attention = sizes.image_size, sizes.attention
        prefix, key = "", "image_size"
        if role == "driver":
            side, attention = sizes.driver_size, sizes.driver_attention
            prefix, key = "driver_", "driver_size"
        shape = tokenizer_shape(weights, side, where)
        found = side >> shape.attends().index(True) if shape.attention_levels else 0
        if found != attention:
            seen, wanted = (
                f"at grids of {n} a side" if n else "nowhere" for n in (found, attention)
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

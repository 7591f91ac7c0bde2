"""What an editor asks of a token model, and the families of token models by name.

A family is a frozen dataclass, its config, which a file of the group `transformer` names as
`_target_`, and an `nn.Module` that the config builds. Bundles store the family's name and the
config's fields, so that a folder never says which code is run.
"""

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from e2eve.checks import full_name
from e2eve.transformer.sampling import SamplingSettings

Progress = Callable[[int], None]
"""Told after each pass how many tokens every sample has at least."""


@dataclass(frozen=True)
class SequenceLayout:
    """How many tokens each part has; source and target have the same grid."""

    driver: int = 16
    source: int = 256

    def __post_init__(self) -> None:
        for name, count in (("driver", self.driver), ("source", self.source)):
            if count < 1 or math.isqrt(count) ** 2 != count:
                raise ValueError(
                    f"The {name} has {count} tokens, which is no square grid: choose an image "
                    "size that is a multiple of the tokenizer's cell."
                )

    @property
    def target(self) -> int:
        return self.source

    @property
    def conditioning(self) -> int:
        return self.driver + self.source

    @property
    def length(self) -> int:
        return self.conditioning + self.target

    def join(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
    ) -> Int[Tensor, "batch length"]:
        """One sequence; `split` undoes it."""
        parts = {"driver": driver_ids, "source": source_ids, "target": target_ids}
        for name, ids in parts.items():
            if ids.shape[1] != getattr(self, name):
                raise ValueError(
                    f"The {name} has {ids.shape[1]} ids where this editor reads "
                    f"{getattr(self, name)}: encode it at the editor's image size."
                )
        return torch.cat([driver_ids, source_ids, target_ids], dim=1)

    def split(self, ids: Int[Tensor, "batch length"]) -> tuple[Int[Tensor, "batch n"], ...]:
        """Ids of driver, masked source and target."""
        return ids.split([self.driver, self.source, self.target], dim=1)


def cell_code(side: int, width: int) -> Float[Tensor, "cells width"]:
    """Sines and cosines of row and column of a side × side grid, in as many channels as needed."""
    frequencies = math.pi / side * 1.5 ** torch.arange(width // 4)
    frequencies = frequencies[: max(1, int((frequencies <= math.pi).sum()))]
    phases = (torch.arange(side) + 0.5)[:, None] * frequencies
    line = torch.cat([phases.sin(), phases.cos()], dim=1)
    rows, columns = line.repeat_interleave(side, 0), line.repeat(side, 1)
    code = torch.zeros(side * side, width)
    code[:, : 2 * line.shape[1]] = torch.cat([rows, columns], dim=1)[:, :width]
    return code


def widened(cells: Bool[Tensor, "batch target"], rim: int) -> Bool[Tensor, "batch target"]:
    """The cells of a square grid and those within `rim` cells of them, diagonally too."""
    side = math.isqrt(cells.shape[1])
    grid = cells.view(-1, 1, side, side).float()
    return F.max_pool2d(grid, 2 * rim + 1, stride=1, padding=rim).flatten(1) > 0


class EditTokens(NamedTuple):
    """A batch of edits as ids in raster order."""

    driver_ids: Int[Tensor, "batch driver"]
    source_ids: Int[Tensor, "batch source"]  # of the masked source
    target_ids: Int[Tensor, "batch target"]
    region_cells: Bool[Tensor, "batch target"]  # True where the region touches the cell


class Conditioning(NamedTuple):
    """What edits are drawn from.

    preserved_ids: ids that cells outside the region keep; None where all cells are drawn.
    guess_ids: likely target ids, which may change the time that sampling takes and nothing else.
    empty_driver_ids: ids of a driver that shows nothing, there for a guidance other than 1.
    codebook_size: ids from there on belong to drivers only and are not drawn; None: there are none.
    """

    driver_ids: Int[Tensor, "inputs driver"]
    source_ids: Int[Tensor, "inputs source"]  # of the masked source
    region_cells: Bool[Tensor, "inputs target"]
    preserved_ids: Int[Tensor, "inputs target"] | None = None
    guess_ids: Int[Tensor, "inputs target"] | None = None
    empty_driver_ids: Int[Tensor, "driver"] | None = None
    codebook_size: int | None = None

    def repeated(self, num_samples: int) -> "Conditioning":
        """A row for each sample, those of an input together."""
        each: dict[str, Any] = {
            name: ids.repeat_interleave(num_samples, dim=0)
            for name, ids in self._asdict().items()
            if isinstance(ids, Tensor) and ids.ndim == 2
        }
        return self._replace(**each)


class TokenNLL(NamedTuple):
    """Negative log-likelihoods in nats, and their means.

    predicted: the tokens whose likelihood is asked for; None stands for all.
    """

    per_token: Float[Tensor, "batch target"]
    region_cells: Bool[Tensor, "batch target"]
    predicted: Bool[Tensor, "batch target"] | None = None

    @property
    def loss(self) -> Float[Tensor, ""]:
        """Mean over all predicted tokens of the batch: what training minimises."""
        if self.predicted is None:
            return self.per_token.mean()
        return self.per_token[self.predicted].mean()

    @property
    def inside(self) -> Float[Tensor, ""]:
        """Mean over inputs of each input's mean inside the region."""
        return self.inside_by_input.nanmean()

    @property
    def outside(self) -> Float[Tensor, ""]:
        """Mean over inputs of each input's mean outside the region."""
        return self.outside_by_input.nanmean()

    @property
    def inside_by_input(self) -> Float[Tensor, " batch"]:
        """Each input's mean over predicted tokens of cells that the region touches, else NaN."""
        return self._mean_by_input(self.region_cells)

    @property
    def outside_by_input(self) -> Float[Tensor, " batch"]:
        """Each input's mean over predicted tokens of the other cells, else NaN."""
        return self._mean_by_input(~self.region_cells)

    def _mean_by_input(self, cells: Bool[Tensor, "batch target"]) -> Float[Tensor, " batch"]:
        cells = cells if self.predicted is None else cells & self.predicted
        return self.per_token.detach().masked_fill(~cells, 0).sum(1) / cells.sum(1)


@runtime_checkable
class TokenModelConfig(Protocol):
    """A frozen dataclass of plain values: all that a bundle stores of a token model.

    codebook_size: ids that are embedded; None becomes the larger one of the tokenizers' codebooks.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def codebook_size(self) -> int | None: ...


class TokenModel(nn.Module, ABC):
    """A network that learns the target's ids given driver and masked source, and draws them.

    It is made of its config, whose `codebook_size` is a number by then, and a layout. No parameter
    or module may have the name of anything below, such as `logits`, `initial` or `sampling`.

    sampling: the family's settings, `SamplingSettings` with fields of its own where it has any.
    initial: fields of the config that say how training goes and no more: weights made with other
        values of them still fit.
    """

    family: ClassVar[str]

    config: Any  # a TokenModelConfig of the family's own class
    layout: SequenceLayout
    sampling: ClassVar[type[SamplingSettings]] = SamplingSettings
    initial: ClassVar[tuple[str, ...]] = ()

    @property
    def driver_dropout(self) -> float:
        """Share of training edits that get an empty driver, so that guidance is learnt.

        The config's field of that name, where it has one.
        """
        return getattr(self.config, "driver_dropout", 0.0)

    @property
    def one_shape(self) -> bool:
        """Whether batches of one size pass `forward` in one shape, as compiled code wants them."""
        return True

    @abstractmethod
    def nll(self, tokens: EditTokens) -> TokenNLL:
        """Likelihoods of target tokens; `.loss` is differentiable.

        It goes through `forward`, the part that `torch.compile` is asked to compile.
        """

    @abstractmethod
    def sample(
        self,
        conditioning: Conditioning,
        *,
        num_samples: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        progress: Progress,
    ) -> Int[Tensor, "inputs num_samples target"]:
        """Target ids.

        Args:
            seeds: one for each input. A sample is a function of its seed, its number and its
                input: of neither the rest of the batch nor the number of samples.
        """

    def logits(self, tokens: EditTokens) -> Float[Tensor, "batch target codebook"]:
        """Logits of each target token given all that the family lets it see."""
        raise ValueError(
            f'Token models of the family "{self.family}" have no logits of given targets: '
            "ask for their nll."
        )

    def start_from_codebook(self, codes: Float[Tensor, "codes dim"]) -> None:
        """Told the source tokenizer's codebook once, before any weights are loaded."""
        return None

    def describe(self) -> dict[str, Any]:
        """What `config_from_description` needs to build the same network."""
        return {"family": self.family, **asdict(self.config)}

    def settings(self, values: Mapping[str, Any]) -> SamplingSettings:
        """Sampling settings by name; None says nothing of those that are not common to all.

        Raises:
            ValueError: when a setting is unknown to this family, or out of its range.
        """
        known = [field.name for field in fields(self.sampling)]
        common = {field.name for field in fields(SamplingSettings)}
        given = {name: v for name, v in values.items() if name in common or v is not None}
        for name in sorted(given.keys() - set(known)):
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(
                f'{name} is {given[name]}, and the transformer family "{self.family}" has no such '
                f"sampling setting: leave it null or take one of {', '.join(known)}"
                f"{f', did you mean {near[0]}?' if near else '.'}"
            )
        return self.sampling(**given)


_families: dict[str, tuple[type, type[TokenModel]]] = {}
Network = TypeVar("Network", bound=type[TokenModel])


def register(name: str, config: type) -> Callable[[Network], Network]:
    """Decorator of a token model: makes `name` what bundles store, and `config` what builds it.

    Raises:
        ValueError: when another family has that name.
    """

    def decorate(network: Network) -> Network:
        _, known = _families.get(name, (config, network))
        if known.__qualname__ != network.__qualname__:
            raise ValueError(f'Two transformer families are called "{name}": rename one.')
        network.family, _families[name] = name, (config, network)
        return network

    return decorate


def build_token_model(config: TokenModelConfig, layout: SequenceLayout) -> TokenModel:
    """The network with random weights that a config of a registered family describes.

    Raises:
        ValueError: when no family has such a config, or a part of the network has a name that is
            taken.
    """
    networks = dict(_families.values())
    if type(config) not in networks:
        raise ValueError(
            f"The group transformer makes a {type(config).__name__}, which no transformer family "
            'is registered with: decorate its network with @register("name", config class).'
        )
    try:
        return networks[type(config)](config, layout)
    except KeyError as error:
        if "already exists" not in str(error):
            raise
        raise ValueError(  # PyTorch's, of what `add_module` or `register_parameter` are given
            f"{full_name(networks[type(config)])} calls a parameter or module what TokenModel "
            f"calls something else ({error.args[0]}): give it another name."
        ) from error


def check_names_config(target: object) -> None:
    """Raises ValueError where the config names a token model itself rather than its config."""
    if isinstance(target, type) and issubclass(target, TokenModel):
        names = [full_name(config) for config, network in _families.values() if network is target]
        raise ValueError(
            f"transformer._target_ is {full_name(target)}, which is the network: give its config, "
            f"{names[0] if names else 'a dataclass that it is registered with'}."
        )


def config_from_description(
    description: Mapping[str, Any], discover: Callable[[], None] = lambda: None
) -> TokenModelConfig:
    """The config that a bundle describes; bundles from before there were families are GPTs.

    Args:
        discover: asked where the family is unknown; it may import modules that register families.

    Raises:
        ValueError: when no module that was imported registers the family, or fields are unknown.
    """
    values = dict(description)
    name = values.pop("family", "gpt")
    if name not in _families:
        discover()
    if name not in _families:
        raise ValueError(
            f'The transformer is of the family "{name}", and only {", ".join(sorted(_families))} '
            "is known here: import the package that registers it before opening (Python), or give "
            "--config-dir=<a folder with a transformer/*.yaml that names it> (commands)."
        )
    try:
        return _families[name][0](**values)
    except TypeError as error:
        raise ValueError(
            f'The description of a transformer of the family "{name}" does not fit this version '
            f"({error}): open it with the version that wrote it."
        ) from error

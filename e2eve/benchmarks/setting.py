"""Parts of the work, what they are built from, and the least time that the hardware allows."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from e2eve.benchmarks.timing import Variant, measured
from e2eve.config import conf_dir, instantiate
from e2eve.data import ImageFolder, ToyFaces
from e2eve.editor import Editor
from e2eve.limits import Loaders, Processes, Samples, Seed
from e2eve.tokenizers import Tokenizer, VQGANConfig

# Sides of image and driver in pixels, and names of files in conf/vqgan and conf/transformer.
PRESETS = {
    "tiny": (32, 16, "tiny", "tiny"),
    "small": (64, 32, "small", "small"),
    "base": (256, 64, "base", "base"),
    "large": (256, 64, "base", "large"),  # the published one
}

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}

# Different images among which a measurement goes round.
IMAGES = 32

# Multiplications of Winograd's filtering for 6 × 6 outputs, as a share of the definition's.
WINOGRAD = 64 / 324

# Least seconds of what follows each other, with the arithmetic that they come from.
Roofline = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """The settings of conf/benchmark.yaml, where they are explained, for one batch size."""

    preset: Literal["tiny", "small", "base", "large"]
    batch: Samples = 1
    parts: list[str] | str = "sample"
    variants: list[str] | str | None = None
    transformer: dict[str, Any] | None = None
    precision: Literal["float32", "bf16"] = "float32"
    editor: Path | None = None
    validation_set: Path | None = None
    device: str = "cpu"
    threads: Processes | None = None
    workers: Loaders = 1
    rounds: Samples = 3
    clock: Literal["wall", "cpu"] = "wall"
    seed: Seed = 0
    out: Path | None = None

    @property
    def sides(self) -> tuple[int, int]:  # of images and drivers, in pixels
        return PRESETS[self.preset][:2]

    @cached_property
    def network(self) -> Editor:
        """An editor with random weights and separate tokenizers, as published."""
        torch.manual_seed(self.seed)
        vqgan, transformer = map(_conf, ("vqgan", "transformer"), PRESETS[self.preset][2:])
        source, driver = (
            Tokenizer(VQGANConfig(image_size=side, **vqgan["network"]), **vqgan["quantizer"])
            for side in self.sides
        )
        config = instantiate(self.transformer or transformer, "transformer")
        return Editor(source, driver, config, self.sides[1]).freeze_tokenizers().to(self.device)

    @cached_property
    def images(self) -> ImageFolder:
        """JPEG files of ToyFaces of twice the preset's side."""
        faces = ToyFaces(size=2 * self.sides[0], length=IMAGES)
        for n in range(IMAGES):
            path = Path(self.folder.name, f"{faces.name(n)}.jpg")
            Image.fromarray(faces[n]).save(path, quality=95)
        return ImageFolder(self.folder.name)

    @cached_property
    def folder(self) -> tempfile.TemporaryDirectory:  # goes when this does
        return tempfile.TemporaryDirectory()

    @property
    def autocast(self) -> torch.autocast:
        dtype = DTYPES[self.precision]
        return torch.autocast(self.device.split(":")[0], dtype, dtype != torch.float32)

    def fastest(self, run: Callable[[], Any]) -> float:
        """Seconds of the fastest of some calls."""
        return min(measured(run, self.clock, least=0.3).times)

    @cached_property
    def operations(self) -> float:
        """Floating-point operations a second of a large matrix product, measured just now."""
        side = 256 if self.sides[0] < 64 else 2048
        matrix = torch.randn(side, side, device=self.device).to(DTYPES[self.precision])
        return 2 * side**3 / self.fastest(lambda: matrix @ matrix)

    @cached_property
    def bandwidth(self) -> float:
        """Bytes read in a second, measured just now."""
        numbers = torch.rand(2**20 if self.sides[0] < 64 else 2**26, device=self.device)
        return 4 * len(numbers) / self.fastest(numbers.sum)

    def computing(self, operations: float, what: str) -> Roofline:
        giga, rate = operations / 1e9, self.operations
        return {f"{what} {giga:.3g} GFLOP at {rate / 1e9:.3g} GFLOP/s": operations / rate}

    def reading(self, amount: float, what: str) -> Roofline:
        giga, rate = amount / 1e9, self.bandwidth
        return {f"{what} {giga:.3g} GB at {rate / 1e9:.3g} GB/s": amount / rate}

    def convolving(self, run: Callable[[], Any]) -> Roofline:
        """Winograd's filtering where a CPU has it; a GPU may choose it too, in float32."""
        winograd = self.precision == "float32"
        what = "convolutions by Winograd," if winograd else "convolutions,"
        return self.computing(operations_of(run, winograd=winograd), what)


def operations_of(run: Callable[[], Any], *, winograd: bool = False) -> float:
    """Floating-point operations of what runs; a multiplication and an addition are two.

    Args:
        run: is called once; with networks `on_meta` nothing is computed.
        winograd: count 3 × 3 convolutions as Winograd's filtering does them, with fewer.
    """
    custom = {torch.ops.aten.convolution: _winograd_count} if winograd else {}
    with FlopCounterMode(display=False, custom_mapping=custom) as counter:
        run()
    return float(counter.get_total_flops())


def _winograd_count(
    x: Any, weight: Any, bias: Any, stride: Any, *options: Any, out_shape: Any, **_: Any
) -> float:
    filtered = (*weight[2:], *stride) == (3, 3, 1, 1)
    return conv_flop_count(x, weight, out_shape) * (WINOGRAD if filtered else 1)


def on_meta(network: nn.Module) -> Any:
    """A copy that has shapes and no numbers."""
    shapes = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, {**shapes, **{id(b): b.to("meta") for b in network.buffers()}})


def _conf(group: str, name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(Path(conf_dir(), group, f"{name}.yaml")))


class Part(NamedTuple):
    """One thing to do, in several variants; the one named "e2eve" is ours.

    Attributes:
        baseline: name of the variant that the others are compared with; None: there is none.
        facts: what else was found while the part was prepared.
        subject: what reference implementations of the part work on.
        batch: what is processed at once, where it is not the setting's.
    """

    variants: list[Variant]
    roofline: Roofline = MappingProxyType({})
    baseline: str | None = None
    facts: Mapping[str, float] = MappingProxyType({})
    subject: tuple[Any, ...] = ()
    batch: int | None = None


PARTS: dict[str, Callable[[Setting], Part]] = {}
"""What builds each part, by the name that the command knows it by."""


def part(build: Callable[[Setting], Part]) -> Callable[[Setting], Part]:
    """Add a function that builds a part to those that the command knows, by its name."""
    PARTS[build.__name__] = build
    return build

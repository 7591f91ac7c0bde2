"""What is measured: networks of a preset's size with random weights, on one device."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from e2eve.benchmarks.floors import Hardware
from e2eve.config import conf_dir, instantiate
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer, VQGANConfig


class Preset(NamedTuple):
    """Picture sides in pixels, and the names of networks in conf/vqgan and conf/transformer."""

    name: str
    image_size: int
    driver_size: int
    vqgan: str
    transformer: str


PRESETS = {
    "tiny": Preset("tiny", 32, 16, "tiny", "tiny"),
    "small": Preset("small", 64, 32, "small", "small"),
    "base": Preset("base", 256, 64, "base", "base"),
    "large": Preset("large", 256, 64, "base", "large"),  # the published one
}

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Setting:
    """What parts are built from.

    batch: pictures, edits, or samples of one input that are processed at once.
    precision: "float32", or "bf16" for what autocast makes of it; plain references stay in
        float32.
    workers: loader processes.
    clock: "wall" or "cpu", see `e2eve.benchmarks.timing`.
    trained: bundle or run folder of an editor, for the parts that need one.
    inputs: folder of a validation set; None: the one in `trained`.
    """

    preset: Preset
    batch: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "float32"
    workers: int = 1
    clock: str = "wall"
    seed: int = 0
    trained: Path | None = None
    inputs: Path | None = None

    @cached_property
    def editor(self) -> Editor:
        """With separate tokenizers, as published."""
        torch.manual_seed(self.seed)
        sides = (self.preset.image_size, self.preset.driver_size)
        shape = _conf("vqgan", self.preset.vqgan)
        source, driver = (
            Tokenizer(VQGANConfig(image_size=side, **shape["network"]), **shape["quantizer"])
            for side in sides
        )
        gpt = instantiate(OmegaConf.create(_conf("transformer", self.preset.transformer)))
        editor = Editor(source, driver, gpt, self.preset.driver_size)
        return editor.freeze_tokenizers().to(self.device)

    @cached_property
    def hardware(self) -> Hardware:
        size = 256 if self.preset.image_size < 64 else 2048
        return Hardware(self.device, PRECISIONS[self.precision], size, self.clock)

    @property
    def device_name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.backends.cpu.get_cpu_capability()}"

    @property
    def words(self) -> str:
        """What a table is about."""
        return (
            f"{self.preset.name}, {self.precision}, {self.device_name}, "
            f"{torch.get_num_threads()} threads"
        )

    @property
    def autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)


def _conf(group: str, name: str) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir(), group, f"{name}.yaml")))
    return values

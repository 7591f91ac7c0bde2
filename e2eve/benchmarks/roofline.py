"""The least time that the hardware allows, by what it was measured to do here and now."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from e2eve.benchmarks.timing import CLOCKS, finish
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.convolution import Convolution
from e2eve.transformer import GPT

WINOGRAD = 64 / 324
"""Multiplications of Winograd's filtering for 6 × 6 outputs, as a share of the definition's."""

OPTIMISER_BYTES = 28
"""Read and written for a parameter by AdamW in float32: it, its gradient, two moments."""


class Floor(NamedTuple):
    seconds: float
    arithmetic: str


class Work(NamedTuple):
    """Floating-point operations; a multiplication and an addition are two."""

    all: float
    filtered: float  # of 3 × 3 convolutions, which Winograd's filtering does with fewer

    def least(self) -> float:
        return self.all - self.filtered * (1 - WINOGRAD)


class Hardware:
    """What the device does in a second, measured when it is first asked for.

    Args:
        dtype: of the matrices.
        size: of their sides; the numbers that are read are 16 times as many.
        clock: as in `timings`.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, size: int = 2048, clock: str = "wall"
    ) -> None:
        self.device, self.dtype, self.size = device, dtype, size
        self.now = CLOCKS[clock]

    @cached_property
    def operations(self) -> float:
        """Floating-point operations of a large matrix product."""
        matrix = torch.randn(self.size, self.size, device=self.device).to(self.dtype)
        return 2 * self.size**3 / self.fastest(lambda: matrix @ matrix)

    @cached_property
    def bandwidth(self) -> float:
        """Bytes read."""
        numbers = torch.rand(16 * self.size**2, device=self.device)
        return 4 * len(numbers) / self.fastest(numbers.sum)

    def fastest(self, run: Callable[[], Any]) -> float:
        """Seconds of the fastest of some."""
        taken = []
        for _ in range(5):
            finish(self.device)
            began = self.now()
            run()
            finish(self.device)
            taken.append(self.now() - began)
        return min(taken)

    def computing(self, operations: float, what: str) -> Floor:
        rate = self.operations
        return Floor(operations / rate, f"{what} {_short(operations)}FLOP at {_short(rate)}FLOP/s")

    def reading(self, amount: float, what: str) -> Floor:
        rate = self.bandwidth
        return Floor(amount / rate, f"{what} {_short(amount)}B at {_short(rate)}B/s")


def total(*floors: Floor) -> Floor:
    return Floor(sum(f.seconds for f in floors), " + ".join(f.arithmetic for f in floors))


def work_of(run: Callable[[], Any]) -> float:
    """Operations of what runs, counted; on the device "meta" nothing is computed."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def matrix_numbers(gpt: GPT) -> int:
    """Of the layers and the head: what a pass reads, and multiplies each token with."""
    return sum(p.numel() for p in gpt.blocks.parameters()) + gpt.head.weight.numel()


def tokenizer_work(tokenizer: Tokenizer, side: int) -> tuple[Work, Work]:
    """Of encoding and of decoding one picture of that side."""
    with torch.device("meta"):
        copy = Tokenizer(tokenizer.config, **tokenizer.quantizer_options)
        picture = torch.zeros(1, 3, side, side)
        ids = torch.zeros(1, (side // tokenizer.config.cell) ** 2, dtype=torch.long)
    works = []
    for network, run in (
        (copy.encoder, lambda: copy.latent(picture)),
        (copy.decoder, lambda: copy.decode(ids)),
    ):
        filtered: list[float] = []
        hooks = [
            part.register_forward_hook(_counting(filtered))
            for part in network.modules()
            if isinstance(part, Convolution)
        ]
        works.append(Work(work_of(run), sum(filtered)))
        for hook in hooks:
            hook.remove()
    return works[0], works[1]


def _counting(operations: list[float]) -> Callable[[nn.Module, Any, Tensor], None]:
    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        assert isinstance(module, Convolution)
        operations.append(2 * 9 * module.in_channels * output.numel())

    return count


def _short(number: float) -> str:
    """Three digits and a prefix: 138 G."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {prefix}"
    return f"{number:.3g} "

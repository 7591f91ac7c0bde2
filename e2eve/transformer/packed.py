"""The GPT with its linear layers laid out for few rows at a time, as sampling multiplies.

With one to a few dozen rows a product is as fast as its weights arrive, so it pays to store them in
the order in which they are read, or in fewer bytes. On a CPU that order is oneDNN's own (the one
`torch.compile` freezes weights into); for a single row it is the transposed matrix's, read from
front to back, unless the processor has AVX-512 and with it a better kernel of oneDNN.
"""

import copy
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.transformer.gpt import GPT

PRECISIONS = ("full", "bfloat16", "int8")
"""Of the matrices while sampling: as they are trained, or rounded. Nothing else is rounded."""

ROWS = 16
"""Rows of a product that oneDNN lays weights out for; the layout serves any other number too."""

LARGE = 2**19
"""Numbers in a matrix from which on packing pays; a small one stays near the processor anyway."""


class Packed(NamedTuple):
    network: GPT
    made_of: tuple[object, ...]  # what was asked for, and the state of the weights


_packed: WeakKeyDictionary[GPT, Packed] = WeakKeyDictionary()


def packed(gpt: GPT, precision: str = "full", single: bool = False) -> GPT:
    """A copy of the network for sampling: the same parameters, but for the packed matrices.

    It is kept until weights change, another is asked for, `release` is called or the network is
    gone, and is no part of its state.

    Args:
        single: for products with one row at a time, mostly.
    """
    made_of = (precision, single, *_state(gpt))
    kept = _packed.get(gpt)
    if kept is None or kept.made_of != made_of:
        release(gpt)  # before the new one needs its memory
        kept = _packed[gpt] = Packed(_repacked(gpt, precision, single), made_of)
    return kept.network


def release(gpt: GPT) -> None:
    """Forget the packed matrices, which take as much memory as the network's own."""
    _packed.pop(gpt, None)


def _state(gpt: GPT) -> tuple[object, ...]:
    """Changes whenever a parameter does: a hash of bits, as fused optimisers leave versions be."""
    hashes = torch.stack([torch.hash_tensor(p.detach()) for p in gpt.parameters()])
    return (gpt.head.weight.device, gpt.head.weight.dtype, *hashes.tolist())


def _repacked(gpt: GPT, precision: str, single: bool) -> GPT:
    shared = {id(tensor): tensor for tensor in (*gpt.parameters(), *gpt.buffers())}
    network = copy.deepcopy(gpt, shared)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, _pack(child, precision, single))
    return network


def _pack(linear: nn.Linear, precision: str, single: bool) -> nn.Module:
    if precision == "int8":
        return Int8Linear(linear)
    dtype = torch.bfloat16 if precision == "bfloat16" else linear.weight.dtype
    return PackedLinear(linear, dtype, single)


class PackedLinear(nn.Module):
    """A linear layer with weights of `dtype`, in the layout that is fastest.

    Where there is none to choose (on a GPU, in float64) the weights are the layer's own, unless
    they are rounded.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, single: bool = False) -> None:
        super().__init__()
        weight = linear.weight.detach().to(dtype)
        self.onednn = onednn_packs(weight) and not (single and transposed_is_faster(weight))
        if self.onednn:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        elif single and transposed_is_faster(weight):
            weight = weight.T.contiguous().T
        self.dtype, self.weight = dtype, weight
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Float[Tensor, "*rows columns"]) -> Float[Tensor, "*rows outputs"]:
        rounded = x.to(self.dtype)
        if not self.onednn:
            return F.linear(rounded, self.weight, self.bias).to(x.dtype)
        product = torch.ops.mkldnn._linear_pointwise
        return product(rounded, self.weight, self.bias, "none", [], "").to(x.dtype)


def onednn_packs(weight: Tensor) -> bool:
    """Whether oneDNN has a layout of its own for such weights on this machine, worth its calls."""
    there = torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    if not there or weight.device.type != "cpu" or weight.numel() < LARGE:
        return False
    bfloat16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bfloat16 or weight.dtype == torch.float32


def transposed_is_faster(weight: Tensor) -> bool:
    """For a single row."""
    large = weight.device.type == "cpu" and weight.numel() >= LARGE
    avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return large and weight.dtype == torch.float32 and not avx512


class Int8Linear(nn.Module):
    """A linear layer with weights of 8 bits and a scale for each output."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.scales = (weight.abs().amax(1) / 127).clamp_min(1e-12).to(torch.bfloat16)
        whole = (weight / self.scales[:, None].float()).round().clamp(-127, 127)
        self.weight = whole.to(torch.int8)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Float[Tensor, "*rows columns"]) -> Float[Tensor, "*rows outputs"]:
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        product = torch._weight_int8pack_mm(rows, self.weight, self.scales).to(x.dtype)
        product = product if self.bias is None else product + self.bias
        return product.view(*x.shape[:-1], -1)

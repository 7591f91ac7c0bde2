"""The GPT with its linear layers computed for few rows at a time, as sampling multiplies.

With one to a few dozen rows a product is as fast as its weights arrive, so it pays to read them in
the order in which they are stored, or in fewer bytes. With AVX-512 that is oneDNN's own layout (the
one `torch.compile` freezes weights into); with AVX2 the matrix as it is, when it is multiplied from
the left, which spares another copy too.
"""

import copy
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.transformer.gpt.network import CausalTransformer

PRECISIONS = ("full", "bfloat16", "int8")
"""Of the matrices while sampling: as they are trained, or rounded. Nothing else is rounded."""

ROWS = 16
"""Rows of a product that oneDNN lays weights out for; the layout serves any other number too."""

LARGE = 2**19
"""Numbers in a matrix from which on packing pays; a small one stays near the processor anyway."""


class Packed(NamedTuple):
    network: CausalTransformer
    made_of: tuple[object, ...]  # what was asked for, and the state of the weights


_packed: WeakKeyDictionary[CausalTransformer, Packed] = WeakKeyDictionary()


def packed(gpt: CausalTransformer, precision: str = "full") -> CausalTransformer:
    """A copy of the network for sampling: the same parameters, but for the packed matrices.

    It is kept until weights change, another is asked for, `release` is called or the network is
    gone, and is no part of its state.
    """
    made_of = (precision, *_state(gpt))
    kept = _packed.get(gpt)
    if kept is None or kept.made_of != made_of:
        release(gpt)  # before the new one needs its memory
        kept = _packed[gpt] = Packed(_repacked(gpt, precision), made_of)
    return kept.network


def release(gpt: CausalTransformer) -> None:
    """Forget the packed matrices, which take as much memory as the network's own."""
    _packed.pop(gpt, None)


def _state(gpt: CausalTransformer) -> tuple[object, ...]:
    """Changes whenever a parameter does: a hash of bits, as fused optimisers leave versions be."""
    hashes = torch.stack([torch.hash_tensor(p.detach()) for p in gpt.parameters()])
    return (gpt.head.weight.device, gpt.head.weight.dtype, *hashes.tolist())


def _repacked(gpt: CausalTransformer, precision: str) -> CausalTransformer:
    shared = {id(tensor): tensor for tensor in (*gpt.parameters(), *gpt.buffers())}
    network = copy.deepcopy(gpt, shared)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, _pack(child, precision))
    return network


def _pack(linear: nn.Linear, precision: str) -> nn.Module:
    if precision == "int8":
        return Int8Linear(linear)
    dtype = torch.bfloat16 if precision == "bfloat16" else linear.weight.dtype
    return PackedLinear(linear, dtype)


class PackedLinear(nn.Module):
    """A linear layer with weights of `dtype`, multiplied in the way that is fastest.

    Where there is none to choose (on a GPU, in float64) that is PyTorch's own. Weights are the
    layer's own, unless they are rounded or oneDNN lays them out.

    Args:
        way: as in `fastest_way`, which chooses it otherwise.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, way: str | None = None) -> None:
        super().__init__()
        weight = linear.weight.detach().to(dtype)
        self.way = way or fastest_way(weight)
        if self.way == "onednn":
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self.dtype, self.weight = dtype, weight
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Float[Tensor, "*rows columns"]) -> Float[Tensor, "*rows outputs"]:
        rounded = x.to(self.dtype)
        if self.way == "left":
            rows = torch.mm(self.weight, rounded.reshape(-1, x.shape[-1]).T).T
            rows = rows if self.bias is None else rows + self.bias
            return rows.reshape(*x.shape[:-1], -1).contiguous()
        if self.way == "onednn":
            product = torch.ops.mkldnn._linear_pointwise
            return product(rounded, self.weight, self.bias, "none", [], "").to(x.dtype)
        return F.linear(rounded, self.weight, self.bias).to(x.dtype)


def fastest_way(weight: Tensor) -> str:
    """To multiply few rows: "left" (weight @ rows), "onednn" (its own layout) or "torch"."""
    if weight.device.type != "cpu" or weight.numel() < LARGE:
        return "torch"
    if weight.dtype == torch.float32 and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return "left"
    there = torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    bfloat16 = there and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    packs = {torch.float32: there, torch.bfloat16: bfloat16}
    return "onednn" if packs.get(weight.dtype) else "torch"


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

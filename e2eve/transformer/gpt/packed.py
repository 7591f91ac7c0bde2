"""A GPT with its linear layers laid out for few rows at a time, as sampling multiplies.

With one to a few dozen rows a product is as fast as its weights arrive, so it pays to read them in
the order in which they are stored, or in fewer bytes. With AVX-512 that is oneDNN's own layout (the
one `torch.compile` freezes weights into); with AVX2 the matrix as it is, when it is multiplied from
the left, which spares another copy too.
"""

import copy
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


_packed: WeakKeyDictionary[CausalTransformer, tuple[object, CausalTransformer]] = (
    WeakKeyDictionary()
)


def packed(gpt: CausalTransformer, precision: str = "full") -> CausalTransformer:
    """A copy of the network for sampling: the same parameters, but for the packed matrices.

    It is kept until weights change, another precision is asked for, `release` is called or the
    network is gone, and is no part of its state.
    """
    # A hash of bits changes whenever a parameter does; versions don't with fused optimisers.
    hashes = torch.stack([torch.hash_tensor(p.detach()) for p in gpt.parameters()])
    weight = gpt.head.weight
    made_of = (precision, weight.device, weight.dtype, *hashes.tolist())
    if gpt not in _packed or _packed[gpt][0] != made_of:
        release(gpt)  # before the new one needs its memory
        _packed[gpt] = (made_of, _repacked(gpt, precision))
    return _packed[gpt][1]


def release(gpt: CausalTransformer) -> None:
    """Forget the packed matrices, which take as much memory as the network's own."""
    _packed.pop(gpt, None)


def _repacked(gpt: CausalTransformer, precision: str) -> CausalTransformer:
    shared = {id(tensor): tensor for tensor in (*gpt.parameters(), *gpt.buffers())}
    network = copy.deepcopy(gpt, shared)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear) and precision == "int8":
                setattr(parent, name, Int8Linear(child))
            elif isinstance(child, nn.Linear):
                dtype = torch.bfloat16 if precision == "bfloat16" else child.weight.dtype
                setattr(parent, name, PackedLinear(child, dtype))
    return network


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

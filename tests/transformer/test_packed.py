"""Laws of packed matrices: the same products, never stale, no part of the state."""

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from e2eve.transformer import GPT, GPTConfig, SequenceLayout
from e2eve.transformer.gpt import packed
from e2eve.transformer.gpt.network import CausalTransformer
from e2eve.transformer.gpt.packed import Int8Linear, PackedLinear, fastest_way
from tests.factories import random_ids

LAYOUT = SequenceLayout(driver=4, source=9)
CONFIG = GPTConfig(layers=2, heads=2, width=16, codebook_size=32)


@pytest.fixture
def gpt() -> GPT:
    return GPT(CONFIG, LAYOUT)


@pytest.fixture
def everything_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "LARGE", 1)


def target_logits(gpt: CausalTransformer) -> torch.Tensor:
    torch.manual_seed(1)
    return gpt.target_logits(random_ids(2, 4), random_ids(2, 9), random_ids(2, 9))


needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN"
)


@pytest.fixture(params=["AVX2", "AVX512"])
def capability(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The machine seems to have these instructions."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    return request.param


@needs_onednn
@pytest.mark.parametrize(("columns", "outputs"), [(48, 16), (16, 48), (1024, 1024)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_product_is_the_product(columns, outputs, bias, capability, everything_packs):
    linear = nn.Linear(columns, outputs, bias=bias)
    fast = PackedLinear(linear, torch.float32)
    assert fast.way == {"AVX2": "left", "AVX512": "onednn"}[capability]
    for rows in ((1,), (7,), (2, 3), (100,)):
        x = torch.randn(*rows, columns)
        assert fast(x).is_contiguous()
        torch.testing.assert_close(fast(x), linear(x), atol=1e-5, rtol=1e-5)


@needs_onednn
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_large_float32_matrices_on_a_cpu_have_a_way_of_their_own(capability):
    large = torch.zeros(1024, 1024)
    own = {"AVX2": "left", "AVX512": "onednn"}[capability]
    assert fastest_way(large) == own
    for other in (torch.zeros(128, 128), large.double(), large.to("meta")):
        assert fastest_way(other) == "torch"
    with torch.backends.mkldnn.flags(enabled=False):
        assert fastest_way(large) == own.replace("onednn", "torch")


@pytest.mark.parametrize("capability", ["AVX2"], indirect=True)
def test_nothing_is_copied_where_the_matrix_is_multiplied_from_the_left(capability):
    linear = nn.Linear(1024, 1024)
    fast = PackedLinear(linear, torch.float32)
    assert fast.weight.data_ptr() == linear.weight.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_onednn_the_product_is_pytorchs_own_with_the_layers_own_weights(dtype):
    linear = nn.Linear(8, 8, dtype=dtype)
    fast = PackedLinear(linear, dtype)
    assert fast.weight.data_ptr() == linear.weight.data_ptr()
    x = torch.randn(3, 8, dtype=dtype)
    assert torch.equal(fast(x), linear(x))


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.02), ("int8", 0.03)])
def test_rounded_matrices_give_nearly_the_same(precision, error, gpt):
    exact, rounded = target_logits(gpt), target_logits(packed.packed(gpt, precision))
    assert rounded.dtype == exact.dtype
    difference = (rounded - exact).norm() / exact.norm()
    assert 0 < difference < error


def test_a_row_of_int8_weights_has_a_scale_of_its_own():
    linear = nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        linear.weight[1] *= 1000
        linear.weight[:, 0] = 0
    x = torch.randn(5, 16)
    torch.testing.assert_close(Int8Linear(linear)(x), linear(x), atol=0.02, rtol=0.02)
    nn.init.zeros_(linear.weight)
    assert not Int8Linear(linear)(x).any()


CHANGES = {
    "a fused optimiser": lambda gpt: step(gpt, fused=True),
    "an optimiser": lambda gpt: step(gpt, foreach=True),
    "a loaded state": lambda gpt: gpt.load_state_dict(GPT(CONFIG, LAYOUT).state_dict()),
    "data behind autograd's back": lambda gpt: gpt.blocks[0].expand.weight.data.add_(1e-7),
    "other data": lambda gpt: setattr(
        gpt.blocks[1].attention.out.weight, "data", torch.ones(16, 16)
    ),
}


def step(gpt: GPT, **options: Any) -> None:
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-6, **options)
    target_logits(gpt).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("precision", packed.PRECISIONS)
def test_packed_matrices_are_never_stale(change, precision, gpt, everything_packs):
    packed.packed(gpt, precision)
    CHANGES[change](gpt)
    fresh = packed.packed(copy.deepcopy(gpt), precision)
    with torch.no_grad():
        assert torch.equal(target_logits(packed.packed(gpt, precision)), target_logits(fresh))


def test_matrices_are_packed_once_while_nothing_changes(gpt):
    first = packed.packed(gpt)
    assert packed.packed(gpt) is first
    assert packed.packed(gpt, "int8") is not first
    packed.release(gpt)
    assert packed.packed(gpt) is not first


def test_packing_leaves_the_network_as_it_was(gpt, everything_packs):
    before = {name: id(tensor) for name, tensor in gpt.state_dict(keep_vars=True).items()}
    names = [name for name, _ in gpt.named_modules()]
    packed.packed(gpt)
    assert {name: id(t) for name, t in gpt.state_dict(keep_vars=True).items()} == before
    assert [name for name, _ in gpt.named_modules()] == names
    assert type(gpt.head) is nn.Linear
    copy.deepcopy(gpt)


def test_packed_matrices_go_with_their_network():
    gpt = GPT(CONFIG, LAYOUT)
    fast = weakref.ref(packed.packed(gpt))
    del gpt
    gc.collect()
    assert fast() is None

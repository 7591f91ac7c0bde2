"""Laws of vector quantisation."""

from pathlib import Path

import pytest
import torch
from einops import rearrange

from e2eve.tokenizers.tokenizer import VectorQuantizer, perplexity


@pytest.mark.parametrize("normalised", [False, True])
def test_every_position_gets_its_nearest_code(normalised):
    quantizer = VectorQuantizer(16, 4, normalised=normalised)
    z = torch.randn(2, 4, 3, 3)
    points = rearrange(z, "b d h w -> (b h w) d")
    if normalised:
        points = torch.nn.functional.normalize(points, dim=1)
    distances = torch.cdist(points, quantizer.table())
    assert torch.equal(quantizer(z).ids.flatten(), distances.argmin(1))


def test_codes_are_fixed_points():
    quantizer = VectorQuantizer(16, 4)
    ids = torch.arange(9).view(1, 3, 3)
    found = quantizer(quantizer.lookup(ids))
    assert torch.equal(found.ids, ids.flatten(1))
    assert found.loss == 0


def test_commitment_weighs_the_encoder_s_side_only():
    """The loss is linear in the weight, and its gradient to z comes from that term alone."""
    z = torch.randn(1, 4, 2, 2, requires_grad=True)
    quantizer = VectorQuantizer(8, 4, commitment=0.25)
    found = quantizer(z)
    distance = (quantizer.lookup(found.ids.view(1, 2, 2)) - z).square().mean()
    torch.testing.assert_close(found.loss, 1.25 * distance)
    found.loss.backward()
    expected = 0.25 * 2 * (z - quantizer.lookup(found.ids.view(1, 2, 2))) / z.numel()
    torch.testing.assert_close(z.grad, expected.detach())


def test_gradient_passes_straight_through():
    z = torch.randn(1, 4, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(VectorQuantizer(8, 4)(z).codes.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))


def test_gradient_is_turned_and_scaled_as_a_position_onto_its_code():
    """The codes come out as they are, and what lies along z arrives along the code."""
    z = torch.randn(1, 4, 2, 2, requires_grad=True)
    quantizer = VectorQuantizer(8, 4, gradient="rotation")
    found = quantizer(z)
    codes = quantizer.lookup(found.ids.view(1, 2, 2)).detach()
    torch.testing.assert_close(found.codes.detach(), codes)
    (along,) = torch.autograd.grad(found.codes, z, codes, retain_graph=True)
    scale = codes.square().sum(1, keepdim=True) / z.detach().square().sum(1, keepdim=True)
    torch.testing.assert_close(along, scale * z.detach())
    given = torch.randn(1, 4, 2, 2)
    (gradient,) = torch.autograd.grad(found.codes, z, given)
    ratio = codes.norm(dim=1) / z.detach().norm(dim=1)
    torch.testing.assert_close(gradient.norm(dim=1), ratio * given.norm(dim=1))


def test_idle_codes_are_moved_onto_the_batch():
    quantizer = VectorQuantizer(8, 4, restart_after=2)
    z = torch.randn(1, 4, 4, 4) + 3
    for _ in range(2):
        assert quantizer.restart_idle(z, torch.zeros(1, 16, dtype=torch.long)) == 0
    assert quantizer.restart_idle(z, torch.zeros(1, 16, dtype=torch.long)) == 7
    points = rearrange(z, "b d h w -> (b h w) d")
    assert all((points == row).all(1).any() for row in quantizer.codebook.weight[1:])


def test_perplexity_counts_codes_in_equal_use():
    counts = torch.tensor([5.0, 5.0, 5.0, 0.0])
    torch.testing.assert_close(perplexity(counts), torch.tensor(3.0))


def _restarted(rank: int, folder: Path) -> None:
    """One of two processes, whose batches use other codes."""
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, restart_after=1)
    before = quantizer.codebook.weight.detach().clone()
    torch.manual_seed(rank)
    used = torch.tensor([[rank, 2 + rank]])
    for _ in range(2):
        quantizer.restart_idle(torch.randn(1, 4, 1, 9), used)
    moved = (quantizer.codebook.weight != before).any(1)
    torch.save((quantizer.codebook.weight.detach(), moved), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_move_the_same_codes_and_only_those_that_none_of_them_uses(tmp_path):
    torch.multiprocessing.spawn(_restarted, args=(tmp_path,), nprocs=2)
    (first, moved), (second, _) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first, second)
    assert moved.tolist() == [False] * 4 + [True] * 4

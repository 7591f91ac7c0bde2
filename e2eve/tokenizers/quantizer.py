"""Vector quantisation (van den Oord et al. 2017), and remedies for dead codes."""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


class Quantized(NamedTuple):
    codes: Float[Tensor, "batch dim h w"]  # codebook rows, gradient passed straight through
    ids: Int[Tensor, "batch tokens"]  # raster order
    loss: Float[Tensor, ""]  # codebook + commitment


class VectorQuantizer(nn.Module):
    """Nearest codebook row for each position.

    The loss is ‖sg(z) - e‖² + commitment · ‖z - sg(e)‖², mean over elements: the weight is on the
    commitment term.

    Args:
        commitment: weight of the commitment term, 0.25 as published.
        normalised: compare directions instead of points (Yu et al. 2022): fewer dead codes.
        restart_after: training steps a code may stay unused before it is moved onto a position
            drawn from the batch; 0 never moves one.
    """

    idle: Tensor  # steps since each code was used

    def __init__(
        self,
        codebook_size: int,
        code_dim: int,
        *,
        commitment: float = 0.25,
        normalised: bool = False,
        restart_after: int = 0,
    ) -> None:
        super().__init__()
        self.codebook = nn.Embedding(codebook_size, code_dim)
        nn.init.uniform_(self.codebook.weight, -1 / codebook_size, 1 / codebook_size)
        self.commitment, self.normalised = commitment, normalised
        self.restart_after = restart_after
        self.register_buffer("idle", torch.zeros(codebook_size), persistent=False)

    def table(self) -> Float[Tensor, "codebook dim"]:
        weight = self.codebook.weight
        return F.normalize(weight, dim=-1) if self.normalised else weight

    def lookup(self, ids: Int[Tensor, "batch h w"]) -> Float[Tensor, "batch dim h w"]:
        return rearrange(F.embedding(ids, self.table()), "b h w d -> b d h w")

    def nearest(self, points: Float[Tensor, "n dim"]) -> Int[Tensor, "n"]:
        """Compared in float32 at least: in bfloat16 near codes would be as far as each other."""
        with torch.autocast(points.device.type, enabled=False):
            precise = torch.promote_types(points.dtype, torch.float32)
            table = self.table().to(precise)
            squares = table.square().sum(1)
            return torch.addmm(squares, points.to(precise), table.t(), alpha=-2).argmin(1)

    def forward(self, z: Float[Tensor, "batch dim h w"]) -> Quantized:
        if self.normalised:
            z = F.normalize(z, dim=1)
        points = rearrange(z, "b d h w -> (b h w) d")
        ids = self.nearest(points.detach())
        grid = rearrange(ids, "(b h w) -> b h w", b=z.shape[0], h=z.shape[2])
        codes = self.lookup(grid)
        codebook_loss = F.mse_loss(codes, z.detach())
        commitment_loss = F.mse_loss(z, codes.detach())
        loss = codebook_loss + self.commitment * commitment_loss
        straight_through = z + (codes - z).detach()
        return Quantized(straight_through, grid.flatten(1), loss)

    @torch.no_grad()
    def restart_idle(
        self, z: Float[Tensor, "batch dim h w"], ids: Int[Tensor, "batch tokens"]
    ) -> int:
        """Count a training step; move codes that were idle too long; how many were moved.

        Processes that train together count what any of them used, and move the same codes to the
        same places; their batches are of one size.
        """
        together = dist.is_available() and dist.is_initialized()
        used = torch.zeros_like(self.idle)
        used[ids.unique()] = 1
        if together:
            dist.all_reduce(used, dist.ReduceOp.MAX)
        self.idle += 1
        self.idle[used > 0] = 0
        dead = (self.idle > self.restart_after).nonzero().flatten()
        points = rearrange(z, "b d h w -> (b h w) d")
        dead = dead[: len(points)]
        if self.restart_after == 0 or not len(dead):
            return 0
        picks = torch.randperm(len(points), device=points.device)[: len(dead)]
        moved = points[picks].to(self.codebook.weight)
        if together:
            dist.broadcast(moved, 0)
        self.codebook.weight[dead] = moved
        self.idle[dead] = 0
        return len(dead)


def perplexity(counts: Float[Tensor, "codebook"]) -> Float[Tensor, ""]:
    """exp(entropy) of how often each code is used: between 1 and the codebook size."""
    shares = counts / counts.sum()
    return torch.special.entr(shares).sum().exp()

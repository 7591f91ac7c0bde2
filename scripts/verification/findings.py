"""What the items of `scripts/verify.py` find: rows of a table, and how numbers are compared."""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

INSTALL = "pip install -e '.[verify]'"
MODULES = {
    "clean-fid": "cleanfid",
    "diffusers": "diffusers",
    "lpips": "lpips",
    "pytorch-fid": "pytorch_fid",
    "torch-fidelity": "torch_fidelity",
    "torchmetrics": "torchmetrics",
    "transformers": "transformers",
}
"""What each peer is imported as."""

LEAST_EXPECTED = 5  # draws in a bin of a χ² test
SIGNIFICANT = 0.01  # of a family of tests, by Holm's adjustment


class Row(NamedTuple):
    """A claim and what was measured of it.

    agrees: None where there is no limit, or the peer is not installed.
    """

    claim: str
    peer: str
    measured: str
    limit: str
    agrees: bool | None


class Table(NamedTuple):
    """What is told beside the rows; all cells are text."""

    caption: str
    headings: Sequence[str]
    cells: Sequence[Sequence[str]]


class Findings(NamedTuple):
    title: str
    text: str
    rows: list[Row]
    tables: Sequence[Table] = ()


def installed(peer: str) -> bool:
    return find_spec(MODULES[peer]) is not None


def named(peer: str) -> str:
    """The peer with its version."""
    return f"{peer} {version(peer)}"


def missing(claim: str, peer: str) -> Row:
    return Row(claim, peer, "not installed", INSTALL, None)


def relative(ours: Tensor | float, theirs: Tensor | float) -> float:
    """The largest difference, as a share of the peer's largest value."""
    a, b = (torch.as_tensor(each, dtype=torch.float64) for each in (ours, theirs))
    return ((a - b).abs().max() / b.abs().max()).item()


def within(claim: str, peer: str, found: float, limit: float, unit: str = "relative") -> Row:
    """A number that may be no larger than its limit; NaN is."""
    written = "the same" if found == 0 else f"{found:.1e} {unit}"
    return Row(claim, peer, written, f"≤ {limit:g} {unit}", bool(found <= limit))


def reported(claim: str, peer: str, measured: str) -> Row:
    return Row(claim, peer, measured, "", None)


def counted(claim: str, peer: str, equal: int, of: int, what: str) -> Row:
    return Row(claim, peer, f"{equal} of {of} {what}", "all", equal == of)


def chi_squared(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """p value of counts under probabilities; bins below `LEAST_EXPECTED` are pooled.

    0 where something was drawn that has no probability.
    """
    from scipy.stats import chisquare

    if counts[probabilities <= 0].any():
        return 0.0
    expected = probabilities * counts.sum()
    small = expected < LEAST_EXPECTED
    seen, wanted = list(counts[~small]), list(expected[~small])
    if small.any() and expected[small].sum() >= LEAST_EXPECTED:
        seen, wanted = [*seen, counts[small].sum()], [*wanted, expected[small].sum()]
    elif small.any() and wanted:  # too little even together: it joins the likeliest bin
        place = int(np.argmax(wanted))
        seen[place] += counts[small].sum()
        wanted[place] += expected[small].sum()
    if len(wanted) < 2:
        return 1.0
    scaled = np.array(wanted) * (sum(seen) / sum(wanted))
    return float(chisquare(seen, scaled).pvalue)


def significance(claim: str, peer: str, values: Sequence[float], what: str = "") -> Row:
    """The smallest p value of a family of tests, by Holm's adjustment."""
    from statsmodels.stats.multitest import multipletests

    adjusted = float(min(multipletests(values, method="holm")[1]))
    tests = f"{len(values)} {what}, " if len(values) > 1 else ""
    measured = f"{tests}smallest p = {adjusted:.2g}" if tests else f"p = {adjusted:.2g}"
    return Row(claim, peer, measured, f"p ≥ {SIGNIFICANT:g} (Holm)", adjusted >= SIGNIFICANT)

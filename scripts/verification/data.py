"""Simulated edits beside the paper's section on them, read slowly and by itself."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.stats import ks_2samp, kstest, pearsonr

from e2eve.edit_simulation import (
    Block,
    CentreView,
    DriverCrop,
    EditSimulation,
    FreeForm,
    Placement,
    Region,
)
from e2eve.geometry import Box
from e2eve.reporting.progress import Report
from scripts.verification.findings import Findings, Row, Table, counted, reported, significance
from tests.references import edits

SIDE = 256
PEER = "the paper, read slowly"
TEXT = (
    f"Regions and drivers at {SIDE} pixels. The slow reading draws blobs point by point, fills "
    "them with Pillow and tries every square for the driver. Distributions are compared by "
    "Kolmogorov–Smirnov tests, those of a row together by Holm's adjustment."
)
KINDS: dict[str, tuple[Block | FreeForm, DriverCrop]] = {
    "block": (Block(), DriverCrop(0.5, 0.7)),
    "free form": (FreeForm(), DriverCrop(1.0, 1.0)),
}
DIFFERENCES = (
    (
        "area of a free form",
        "anything from 5 to 60 % of the image",
        "uniform between them, so that large and small regions come as often",
    ),
    (
        "blob at the border",
        "clipped, and so smaller",
        "scaled until its part inside the image has the area that was drawn",
    ),
    (
        "horizontal centre of a region",
        "built from the vertical one in the published code, correlation 0.70",
        "drawn by itself",
    ),
    (
        "driver of a free form",
        "a large square inside the blob",
        "a random one of at least 0.8 times the largest one's side",
    ),
    (
        "seven points of a blob",
        "random, sorted by angle",
        "one in each seventh of the circle, and of 8 blobs the first that is round enough",
    ),
)


def find(quick: bool, report: Report) -> Findings:
    counts = {"block": 1000, "free form": 60} if quick else {"block": 5000, "free form": 500}
    rows: list[Row] = []
    for kind, samplers in KINDS.items():
        rows += kind_rows(kind, samplers, counts[kind], report)
    areas = [float(blob.mask.mean()) for blob in literal(counts["free form"])]
    statistic = kstest(areas, uniform).statistic
    claim = "free form: area of blobs of any scale and place, kept from 5 to 60 %; ours is uniform"
    rows.append(reported(claim, PEER, f"differs on purpose, KS statistic {statistic:.2f}"))
    caption = "Where we differ on purpose, or the paper leaves a choice."
    table = Table(caption, ("what", "paper, or published code", "here"), DIFFERENCES)
    return Findings("The same data", TEXT, rows, [table])


def kind_rows(
    kind: str, samplers: tuple[Block | FreeForm, DriverCrop], count: int, report: Report
) -> list[Row]:
    simulation = EditSimulation(SIDE, 64, CentreView(), *samplers)
    ours = drawn(f"data, {kind}", count, report, simulation.place, 0)
    slow = drawn(f"data, {kind}, slowly", count, report, partial(edits.place, simulation), 1)
    return compared(kind, ours, slow)


def drawn(
    what: str,
    count: int,
    report: Report,
    place: Callable[[np.random.Generator], Placement],
    seed: int,
) -> list[Placement]:
    rng, found = np.random.default_rng(seed), []
    for done in range(count):
        report(what, done, count)
        found.append(place(rng))
    report(what, count, count)
    return found


def compared(kind: str, ours: list[Placement], theirs: list[Placement]) -> list[Row]:
    """Tests of every number of a place, and what holds of every one."""
    numbers = [{name: [f(p) for p in ps] for name, f in NUMBERS.items()} for ps in (ours, theirs)]
    tests = [ks_2samp(numbers[0][name], numbers[1][name]).pvalue for name in NUMBERS]
    claim = f"{kind}, {len(ours)} of each: {', '.join(NUMBERS)}"
    rows = [significance(claim, PEER, tests, "KS tests")]
    if kind == "block":
        sides = [p.region.box.width / SIDE for p in ours if not touches(p.region.box)]
        claim, law = f"block: side of the {len(sides)} that reach no border", unclipped
        limit = "uniform from 0.4 to 0.6, and such a place"
    else:
        sides = [float(p.region.mask.mean()) for p in ours]
        claim, law = f"free form: area of {len(sides)}", uniform
        limit = "uniform from 5 to 60 %"
    rows.append(significance(claim, limit, [against(sides, law)]))
    inside = [bool(p.driver_box.crop(p.region.mask).all()) for p in ours]
    claim = f"{kind}: drivers that lie wholly inside their region"
    rows.append(counted(claim, PEER, sum(inside), len(inside), "drivers"))
    x, y = (numbers[0][f"centre {axis}"] for axis in "xy")
    found = pearsonr(x, y)
    claim = f"{kind}: centre x and y are not correlated, {found.statistic:+.3f}"
    return [*rows, significance(claim, "no correlation", [float(found.pvalue)])]


def against(shares: list[float], law: Callable[[np.ndarray], np.ndarray]) -> float:
    """p value; rounding to pixels is undone by noise of half a pixel either way."""
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, len(shares)) / SIDE
    return float(kstest(np.add(shares, noise), law).pvalue)


def uniform(areas: np.ndarray) -> np.ndarray:
    return ((areas - 0.05) / 0.55).clip(0, 1)


def unclipped(sides: np.ndarray) -> np.ndarray:
    """Shares of blocks up to a side: the centre leaves (1 - side)² of the image to such a block."""
    left = (1 - sides.clip(0.4, 0.6)) ** 3
    return (0.6**3 - left) / (0.6**3 - 0.4**3)


def touches(box: Box) -> bool:
    """Whether a region reaches the border, where it may have been clipped."""
    return min(box.left, box.top) == 0 or max(box.right, box.bottom) == SIDE


def literal(count: int) -> list[Region]:
    """Blobs as the paper's one sentence can be read: any scale and place, kept if the area fits."""
    rng, found = np.random.default_rng(3), []
    while len(found) < count:
        corners = rng.uniform(0, 1, (7, 2)) * SIDE * rng.uniform(0.2, 2)
        outline = edits.outline(corners, 0.1)
        mask = edits.filled(outline - outline.mean(0) + rng.uniform(0, SIDE, 2), SIDE)
        if 0.05 <= mask.mean() <= 0.6:
            found.append(Region.of_mask(mask))
    return found


NUMBERS: dict[str, Callable[[Placement], float]] = {
    "width": lambda p: p.region.box.width,
    "height": lambda p: p.region.box.height,
    "centre x": lambda p: p.region.box.centre[0],
    "centre y": lambda p: p.region.box.centre[1],
    "area": lambda p: float(p.region.mask.mean()),
    "driver's side to √area": lambda p: p.driver_box.width / p.region.mask.sum() ** 0.5,
    "driver's place across": lambda p: across(
        p.driver_box.left - p.region.box.left, p.region.box.width - p.driver_box.width
    ),
    "driver's place down": lambda p: across(
        p.driver_box.top - p.region.box.top, p.region.box.height - p.driver_box.height
    ),
}


def across(start: int, room: int) -> float:
    """A share of the room that there is."""
    return start / room if room else 0.5

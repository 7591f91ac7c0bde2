"""Simulated edits as a straightforward implementation makes them: the same distribution, slowly.

A blob is drawn point by point, its scale is found by drawing it again and again, every square of
every size is tried for the driver, and images go through Pillow.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from e2eve.edit_simulation import (
    Block,
    DriverCrop,
    EditSimulation,
    FreeForm,
    Placement,
    RandomView,
    Region,
)
from e2eve.geometry import Box

CANDIDATES, ROUND_ENOUGH = 8, 0.5
STEPS = 100  # points of the outline between two corners
HALVINGS = 14  # of the interval that the scale lies in
LARGE = 0.8  # an inscribed square is large from this share of the largest one's side


def block(sampler: Block, side: int, rng: np.random.Generator) -> Region:
    """A square of a uniformly drawn side around a uniformly drawn point, pixel by pixel."""
    reach = side * rng.uniform(sampler.min_side, sampler.max_side) / 2
    x, y = rng.uniform(0, side, size=2)
    middles = np.arange(side) + 0.5
    return Region.of_mask(np.outer(abs(middles - y) <= reach, abs(middles - x) <= reach))


def free_form(sampler: FreeForm, side: int, rng: np.random.Generator) -> Region:
    """A blob of a uniformly drawn area around a uniformly drawn point."""
    area = side * side * rng.uniform(sampler.min_area, sampler.max_area)
    blob, best = np.zeros((0, 2)), -1.0
    for _ in range(CANDIDATES):
        candidate = outline(corners(sampler.points, rng), sampler.edginess)
        if roundness(candidate) > best:
            blob, best = candidate, roundness(candidate)
        if best >= ROUND_ENOUGH:
            break
    blob = blob - blob.mean(axis=0)
    centre = rng.uniform(0, side, size=2)
    low, high = 0.0, 8.0 * side
    for _ in range(HALVINGS):
        scale = (low + high) / 2
        mask = filled(blob * scale + centre, side)
        low, high = (scale, high) if mask.sum() < area else (low, scale)
    return Region.of_mask(mask)


def corners(count: int, rng: np.random.Generator) -> Float[np.ndarray, "count 2"]:
    """Around an ellipse of random elongation and direction, one in each sector."""
    squeeze, turn = rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    points = []
    for sector in range(count):
        angle = 2 * np.pi / count * (sector + rng.uniform(0, 0.8))
        radius = rng.uniform(0.35, 1)
        x, y = radius * np.cos(angle), radius * np.sin(angle) * squeeze
        cosine, sine = np.cos(turn), np.sin(turn)
        points.append((x * cosine - y * sine, x * sine + y * cosine))
    return np.array(points)


def outline(points: Float[np.ndarray, "n 2"], edginess: float) -> Float[np.ndarray, "outline 2"]:
    """Cubic Bézier curves between corners sorted by angle, by de Casteljau's construction."""
    x, y = (points - points.mean(axis=0)).T
    points = points[np.argsort(np.arctan2(y, x))]
    ahead, behind = np.roll(points, -1, axis=0), np.roll(points, 1, axis=0)
    directions = ahead - behind
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
    drawn = []
    for corner in range(len(points)):
        following = (corner + 1) % len(points)
        start, end = points[corner], points[following]
        handle = np.linalg.norm(end - start) * (1 - edginess) / 3
        left, right = start + handle * directions[corner], end - handle * directions[following]
        for step in range(STEPS):
            controls = np.stack([start, left, right, end])
            while len(controls) > 1:
                controls = controls[:-1] + (controls[1:] - controls[:-1]) * (step / STEPS)
            drawn.append(controls[0])
    return np.array(drawn)


def roundness(curve: Float[np.ndarray, "outline 2"]) -> float:
    """4 pi area / perimeter²: 1 for a circle."""
    x, y = curve.T
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    perimeter = np.linalg.norm(curve - np.roll(curve, -1, axis=0), axis=1).sum()
    return float(4 * np.pi * area / perimeter**2)


def filled(curve: Float[np.ndarray, "outline 2"], side: int) -> Bool[np.ndarray, "side side"]:
    canvas = Image.new("1", (side, side))
    ImageDraw.Draw(canvas).polygon([tuple(point - 0.5) for point in curve], fill=1)
    return np.array(canvas)


def place_driver(crop: DriverCrop, region: Region, rng: np.random.Generator) -> Box | None:
    """In a random large square of the region, or for a block in its box; None if it is too thin."""
    frame = region.box if region.is_block else large_square(region.mask, rng)
    longest = min(frame.width, frame.height)
    if longest < crop.min_side:
        return None
    side = max(crop.min_side, round(longest * rng.uniform(crop.alpha_min, crop.alpha_max)))
    right = int(rng.integers(frame.width - side + 1))
    down = int(rng.integers(frame.height - side + 1))
    return Box(0, 0, side, side).shifted(frame.left + right, frame.top + down)


def large_square(mask: Bool[np.ndarray, "side side"], rng: np.random.Generator) -> Box:
    """Every centre is tried with one radius more, until no square fits any longer."""
    reach = np.zeros(mask.shape, dtype=int)  # pixels from a centre to its square's border
    fits = mask.copy()
    while fits.any():
        reach[fits] += 1
        around = np.pad(fits, 1)
        shifts = [(down, right) for down in range(3) for right in range(3)]
        height, width = fits.shape
        fits = np.all([around[d : d + height, r : r + width] for d, r in shifts], axis=0)
    sides = 2 * reach - 1
    row, column = rng.choice(np.argwhere(sides >= LARGE * sides.max()))
    radius = int(reach[row, column]) - 1
    return Box(
        int(column) - radius, int(row) - radius, int(column) + radius + 1, int(row) + radius + 1
    )


def place(simulation: EditSimulation, rng: np.random.Generator) -> Placement:
    """Region and driver box; regions too thin for a driver are drawn again."""
    sampler, side = simulation.region, simulation.image_size
    while True:
        if isinstance(sampler, FreeForm):
            region = free_form(sampler, side, rng)
        else:
            assert isinstance(sampler, Block)
            region = block(sampler, side, rng)
        driver = place_driver(simulation.driver, region, rng)
        if driver is not None:
            return Placement(region, driver)


def item(
    path: Path, simulation: EditSimulation, rng: np.random.Generator
) -> dict[str, Float[Tensor, "3 height width"] | Bool[Tensor, "1 height width"]]:
    """A training example from a file, with Pillow's bicubic resizing."""
    view, side = simulation.view, simulation.image_size
    assert isinstance(view, RandomView)
    image = Image.open(path).convert("RGB")
    crop = round(min(image.size) * np.sqrt(rng.uniform(view.min_area, view.max_area)))
    top, left = rng.integers(image.height - crop + 1), rng.integers(image.width - crop + 1)
    target = image.crop((left, top, left + crop, top + crop)).resize((side, side))
    if rng.random() < view.flip:
        target = ImageOps.mirror(target)
    placed = place(simulation, rng)
    box = placed.driver_box
    driver = target.crop((box.left, box.top, box.right, box.bottom))
    driver = driver.resize((simulation.driver_size, simulation.driver_size))
    region = torch.from_numpy(placed.region.mask)[None]
    return {"target": _tensor(target), "region": region, "driver": _tensor(driver)}


def _tensor(image: Image.Image) -> Float[Tensor, "3 height width"]:
    """-1…1, by way of 0…1 as torchvision's ToTensor and Normalize go."""
    pixels: UInt8[np.ndarray, "height width 3"] = np.array(image)
    zero_to_one = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255
    return (zero_to_one - 0.5) / 0.5

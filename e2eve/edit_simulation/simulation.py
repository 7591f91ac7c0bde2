"""A training example made from one plain image: view, region, driver crop, transformations.

The view is the square of the image that becomes the target; the driver is cut out of the target
inside the region, and transformed before it is resized. A transformation is a callable
`(driver, rng) -> driver` on a square image whose size it keeps. It sees the crop only: what a
geometric one needs from beyond the border is mirrored. The published settings use none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import cos, radians, sin, sqrt
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from e2eve.checks import require_call
from e2eve.data.images import resize, square
from e2eve.edit_simulation.regions import Limited, Region, RegionSampler, draw_region
from e2eve.geometry import Box

Driver = UInt8[np.ndarray, "side side 3"]

_LARGE = 0.8  # an inscribed square is large from this share of the largest one's side
_DRAWS = 100  # regions drawn before giving up, where they are too thin for a driver


@dataclass(frozen=True)
class RandomView(Limited):
    """A random square of the image, resized, and flipped left to right at times.

    Args:
        min_area, max_area: range of the square's area, as a share of the largest square that the
            image holds; drawn uniformly, as is the place.
        flip: probability of a horizontal flip.
    """

    min_area: float = 0.75
    max_area: float = 1.0
    flip: float = 0.5

    LIMITS = (
        ("min_area", "max_area", 0.01, 1),
        ("flip", "flip", 0, 1),
    )

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], side: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "side side 3"]:
        height, width = image.shape[:2]
        crop = max(1, round(min(height, width) * sqrt(rng.uniform(self.min_area, self.max_area))))
        top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
        view = resize(image[top : top + crop, left : left + crop], side, side)
        return cv2.flip(view, 1) if rng.random() < self.flip else np.ascontiguousarray(view)


@dataclass(frozen=True)
class CentreView:
    """The largest centred square of the image, resized: nothing random, for validation."""

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], side: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "side side 3"]:
        return square(image, side)


class RegionTooThinError(ValueError):
    """The region holds no square of the smallest side allowed."""


@dataclass(frozen=True)
class DriverCrop(Limited):
    """A random square that lies wholly inside the region, or the box around it.

    In a block it may lie anywhere, and alpha is measured on the shorter side. In any other region
    it lies in a large inscribed square, on whose side alpha is measured: a pixel is drawn uniformly
    from those on which a square of at least 0.8 times the largest side can be centred.

    Args:
        alpha_min, alpha_max: range of the driver's side, as a share of the region's side.
        position_augmentation: whether the place within the block or the inscribed square is drawn
            uniformly; otherwise the driver is at its centre.
        min_side: smallest side in pixels; a driver that alpha makes smaller gets this side.
        whole: share of edits whose driver is all of the box around the region, which is padded to
            a square by repeating its border pixels: as people give drivers that are not square.
    """

    alpha_min: float = 0.6
    alpha_max: float = 0.6
    position_augmentation: bool = True
    min_side: int = 4
    whole: float = 0.0

    LIMITS = (
        ("alpha_min", "alpha_max", 0.05, 1),
        ("min_side", "min_side", 1, 1024),
        ("whole", "whole", 0, 1),
    )

    def __call__(self, region: Region, rng: np.random.Generator) -> Box:
        """Raises RegionTooThinError, a ValueError, where no square of `min_side` pixels fits."""
        if self.whole > 0 and rng.random() < self.whole:
            return region.box
        frame = region.box if region.is_block else large_square(region, rng)
        longest = min(frame.width, frame.height)
        if longest < self.min_side:
            raise RegionTooThinError(
                f"The largest square found inside the region has {longest} pixels per side, a "
                f"driver needs {self.min_side}; paint a thicker region or lower min_side."
            )
        side = max(self.min_side, round(longest * rng.uniform(self.alpha_min, self.alpha_max)))
        spare = np.array([frame.width - side, frame.height - side])
        place = rng.integers(spare + 1) if self.position_augmentation else spare // 2
        return Box(0, 0, side, side).shifted(frame.left + int(place[0]), frame.top + int(place[1]))


def large_square(region: Region, rng: np.random.Generator) -> Box:
    """A random one of the large squares, of odd side, that hold pixels of the region only."""
    box = region.box
    cut = region.mask[box.top : box.bottom, box.left : box.right].view(np.uint8)
    inside = cv2.copyMakeBorder(cut, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    reach = cv2.distanceTransform(inside, cv2.DIST_C, 3)
    least = (_LARGE * (2 * reach.max() - 1) + 1) / 2
    centres = np.flatnonzero(reach >= least)
    row, column = divmod(int(centres[rng.integers(centres.size)]), reach.shape[1])
    radius = int(reach[row, column]) - 1
    square = Box(column - radius, row - radius, column + radius + 1, row + radius + 1)
    return square.shifted(box.left - 1, box.top - 1)


Transformation = Callable[[Driver, np.random.Generator], Driver]


@dataclass(frozen=True)
class PositionJitter(Limited):
    """Moves the image in both directions by up to `max_shift`, a share of its side, 0 to 1."""

    max_shift: float = 0.1

    LIMITS = (("max_shift", "max_shift", 0, 1),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        right, down = rng.uniform(-self.max_shift, self.max_shift, size=2) * len(driver)
        return _warped(driver, right=right, down=down)


@dataclass(frozen=True)
class Scale(Limited):
    """Enlarges (above 1) or shrinks (below 1) the content about the centre."""

    min_scale: float = 0.8
    max_scale: float = 1.25

    LIMITS = (("min_scale", "max_scale", 0.25, 4),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        return _warped(driver, scale=rng.uniform(self.min_scale, self.max_scale))


@dataclass(frozen=True)
class Rotation(Limited):
    """Turns about the centre by up to `max_angle` degrees, 0 to 180, either way.

    The image is enlarged by just so much that no corner has to be made up.
    """

    max_angle: float = 15.0

    LIMITS = (("max_angle", "max_angle", 0, 180),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        return rotated(driver, rng.uniform(-self.max_angle, self.max_angle))


@dataclass(frozen=True)
class Flip(Limited):
    """Swaps left and right with a probability."""

    probability: float = 0.5

    LIMITS = (("probability", "probability", 0, 1),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        return cv2.flip(driver, 1) if rng.random() < self.probability else driver


@dataclass(frozen=True)
class ColourJitter(Limited):
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
        brightness, contrast, saturation: each is multiplied by a factor drawn from 1 - x to 1 + x;
            x from 0 to 1.
        hue: largest turn of the colour circle either way, in circles, 0 to 0.5.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.05

    LIMITS = (
        ("brightness", "brightness", 0, 1),
        ("contrast", "contrast", 0, 1),
        ("saturation", "saturation", 0, 1),
        ("hue", "hue", 0, 0.5),
    )

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        amounts = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        brightness, contrast, saturation, hue = rng.uniform(-amounts, amounts).tolist()
        colours = (driver.astype(np.float32) / 255 * (1 + brightness)).clip(0, 1)
        mean = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY).mean()  # of the luma of ITU-R BT.601
        colours = (mean + (colours - mean) * (1 + contrast)).clip(0, 1)
        grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)[..., None]
        colours = (grey + (colours - grey) * (1 + saturation)).clip(0, 1)
        if hue:
            hsv = cv2.cvtColor(colours, cv2.COLOR_RGB2HSV)  # hue in degrees for float images
            hsv[..., 0] = (hsv[..., 0] + 360 * hue) % 360
            colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        return np.rint(colours * 255).astype(np.uint8)


@dataclass(frozen=True)
class Blur(Limited):
    """Gaussian blur of up to `max_sigma`, a share of the side, 0 to 0.5."""

    max_sigma: float = 0.03

    LIMITS = (("max_sigma", "max_sigma", 0, 0.5),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        sigma = rng.uniform(0, self.max_sigma) * len(driver)
        if not sigma:
            return driver
        return cv2.GaussianBlur(driver, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def rotated(driver: Driver, angle: float) -> Driver:
    """Turned counterclockwise by degrees, and enlarged until it fills its square."""
    turn = radians(angle)
    return _warped(driver, scale=abs(cos(turn)) + abs(sin(turn)), turn=turn)


def _warped(
    driver: Driver, scale: float = 1.0, turn: float = 0.0, right: float = 0.0, down: float = 0.0
) -> Driver:
    # Scaled and turned (radian, counterclockwise) about the centre, then moved (pixels).
    middle = (len(driver) - 1) / 2
    a, b = scale * cos(turn), scale * sin(turn)
    matrix = np.array(
        [
            [a, b, (1 - a) * middle - b * middle + right],
            [-b, a, b * middle + (1 - a) * middle + down],
        ]
    )
    return cv2.warpAffine(
        driver,
        matrix,
        (len(driver), len(driver)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


class Placement(NamedTuple):
    """Where an edit takes place, on any image of the side that it was drawn for."""

    region: Region
    driver_box: Box


class SimulatedEdit(NamedTuple):
    """An example: the target's region is to be edited so that it shows the driver.

    The driver was cut out of the target at `driver_box`, in pixels of the target, and padded to a
    square.
    """

    target: UInt8[np.ndarray, "side side 3"]
    driver: UInt8[np.ndarray, "driver_size driver_size 3"]
    region: Region
    driver_box: Box


@dataclass(frozen=True)
class EditSimulation(Limited):
    """Simulates edits of square images: target, region, and a driver from inside the region.

    A region too thin to hold a driver is drawn again, up to 100 times.

    Args:
        image_size, driver_size: sides in pixels of the target and of the driver.
        view: makes the square target from an image of any size.
        region: draws the edit region.
        driver: draws the driver crop in the region.
        transformations: what happens to the driver between its crop and its resizing, in this
            order; the names are for the reader.
    """

    image_size: int
    driver_size: int
    view: RandomView | CentreView
    region: RegionSampler
    driver: DriverCrop
    transformations: Mapping[str, Transformation] = field(default_factory=dict)

    LIMITS = (
        ("image_size", "image_size", 16, 4096),
        ("driver_size", "driver_size", 4, 4096),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_call(self.view, "image", "side", "rng")
        require_call(self.region, "side", "rng")
        require_call(self.driver, "region", "rng")
        for transformation in self.transformations.values():
            require_call(transformation, "driver", "rng")

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], rng: np.random.Generator
    ) -> SimulatedEdit:
        """The edit that one image of any size and the state of the generator give."""
        return self.at(self.view(image, self.image_size, rng), self.place(rng), rng)

    def place(self, rng: np.random.Generator) -> Placement:
        """Draws the region, and the driver crop in it.

        Raises:
            ValueError: when 100 regions were all too thin.
        """
        for _ in range(_DRAWS):
            region = draw_region(self.region, self.image_size, rng)
            try:
                return Placement(region, self.driver(region, rng))
            except RegionTooThinError:
                continue
        raise ValueError(
            f"No region in {_DRAWS} draws held a driver of {self.driver.min_side} pixels at "
            f"image_size {self.image_size}, choose larger regions or a smaller driver.min_side."
        )

    def place_in(
        self, region: Bool[np.ndarray, "side side"], rng: np.random.Generator
    ) -> Placement:
        """Draws the driver crop in a given region, such as a painted one.

        Raises:
            ValueError: when the region is empty or too thin.
        """
        given = Region.of_mask(region)
        return Placement(given, self.driver(given, rng))

    def at(
        self,
        target: UInt8[np.ndarray, "height width 3"],
        placement: Placement,
        rng: np.random.Generator,
    ) -> SimulatedEdit:
        """At a given place; the generator is for the transformations of the driver.

        Raises:
            ValueError: when the target does not have the side that the place was drawn for.
        """
        if target.shape[:2] != placement.region.mask.shape:
            raise ValueError(
                f"The image of {target.shape[1]} by {target.shape[0]} pixels does not have the "
                f"region's side of {len(placement.region.mask)}, resize it first."
            )
        driver = placement.driver_box.padded_crop(target)
        for transformation in self.transformations.values():
            driver = transformation(driver, rng)
        driver = np.ascontiguousarray(resize(driver, self.driver_size, self.driver_size))
        return SimulatedEdit(target, driver, *placement)

    def driver_from(
        self, image: UInt8[np.ndarray, "height width 3"], driver_box: Box
    ) -> UInt8[np.ndarray, "driver_size driver_size 3"]:
        """The driver that another image gives at this box: resized, nothing random.

        Raises:
            ValueError: when the box leaves the image.
        """
        height, width = image.shape[:2]
        if not Box(0, 0, width, height).contains(driver_box):
            raise ValueError(
                f"The driver {driver_box} leaves the image of {width} by {height} pixels, resize "
                "the image to the side that the box was drawn for."
            )
        return resize(driver_box.padded_crop(image), self.driver_size, self.driver_size)

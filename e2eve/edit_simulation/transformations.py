"""Random transformations of the driver, between its crop and its resizing.

Each is a callable `(driver, rng) -> driver` on a square image whose size it keeps. They see the
crop only: what a geometric one needs from beyond the border is mirrored. The published settings use
none of them.
"""

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from e2eve.edit_simulation.regions import Limited

Driver = UInt8[np.ndarray, "side side 3"]


@runtime_checkable
class Transformation(Protocol):
    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver: ...


@dataclass(frozen=True)
class PositionJitter(Limited):
    """Moves the image in both directions by up to `max_shift`, a share of its side, 0 to 1."""

    max_shift: float = 0.1

    LIMITS = (("shift", "max_shift", "max_shift", 0, 1),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        right, down = rng.uniform(-self.max_shift, self.max_shift, size=2) * len(driver)
        return _warped(driver, right=right, down=down)


@dataclass(frozen=True)
class Scale(Limited):
    """Enlarges (above 1) or shrinks (below 1) the content about the centre."""

    min_scale: float = 0.8
    max_scale: float = 1.25

    LIMITS = (("scale", "min_scale", "max_scale", 0.25, 4),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        return _warped(driver, scale=rng.uniform(self.min_scale, self.max_scale))


@dataclass(frozen=True)
class Rotation(Limited):
    """Turns about the centre by up to `max_angle` degrees, 0 to 180, either way.

    The image is enlarged by just so much that no corner has to be made up.
    """

    max_angle: float = 15.0

    LIMITS = (("angle", "max_angle", "max_angle", 0, 180),)

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        angle = rng.uniform(-self.max_angle, self.max_angle)
        return rotated(driver, angle)


@dataclass(frozen=True)
class Flip(Limited):
    """Swaps left and right with a probability."""

    probability: float = 0.5

    LIMITS = (("flip", "probability", "probability", 0, 1),)

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
        ("brightness", "brightness", "brightness", 0, 1),
        ("contrast", "contrast", "contrast", 0, 1),
        ("saturation", "saturation", "saturation", 0, 1),
        ("hue", "hue", "hue", 0, 0.5),
    )

    def __call__(self, driver: Driver, rng: np.random.Generator) -> Driver:
        amounts = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        brightness, contrast, saturation, hue = rng.uniform(-amounts, amounts).tolist()
        colours = driver.astype(np.float32) / 255
        colours = (colours * (1 + brightness)).clip(0, 1)
        mean = _grey(colours).mean()
        colours = (mean + (colours - mean) * (1 + contrast)).clip(0, 1)
        grey = _grey(colours)[..., None]
        colours = (grey + (colours - grey) * (1 + saturation)).clip(0, 1)
        if hue:
            colours = _hue_turned(colours, hue)
        return np.rint(colours * 255).astype(np.uint8)


@dataclass(frozen=True)
class Blur(Limited):
    """Gaussian blur of up to `max_sigma`, a share of the side, 0 to 0.5."""

    max_sigma: float = 0.03

    LIMITS = (("blur", "max_sigma", "max_sigma", 0, 0.5),)

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
    """Scaled and turned (radian, counterclockwise) about the centre, then moved (pixels)."""
    side = len(driver)
    middle = (side - 1) / 2
    a, b = scale * cos(turn), scale * sin(turn)
    matrix = np.array(
        [
            [a, b, (1 - a) * middle - b * middle + right],
            [-b, a, b * middle + (1 - a) * middle + down],
        ]
    )
    return cv2.warpAffine(
        driver, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def _grey(
    colours: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width"]:
    """Luma of ITU-R BT.601."""
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)


def _hue_turned(
    colours: Float32[np.ndarray, "height width 3"], circles: float
) -> Float32[np.ndarray, "height width 3"]:
    hsv = cv2.cvtColor(colours, cv2.COLOR_RGB2HSV)  # hue in degrees for float images
    hsv[..., 0] = (hsv[..., 0] + 360 * circles) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

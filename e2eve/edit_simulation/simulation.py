"""A training example made from one plain image: view, region, driver crop, transformations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from e2eve.data.images import resize
from e2eve.edit_simulation.checks import check_range
from e2eve.edit_simulation.drivers import DriverCrop, RegionTooThinError, crop_driver
from e2eve.edit_simulation.regions import Region, RegionSampler
from e2eve.edit_simulation.transformations import Transformation
from e2eve.edit_simulation.view import CentreView, RandomView
from e2eve.geometry import Box

_DRAWS = 100  # regions drawn before giving up, where they are too thin for a driver


class Placement(NamedTuple):
    """Where an edit takes place, on any image of the side that it was drawn for."""

    region: Region
    driver_box: Box


class SimulatedEdit(NamedTuple):
    """An example: the target's region is to be edited so that it shows the driver.

    The driver was cut out of the target at `driver_box`, in pixels of the target.
    """

    target: UInt8[np.ndarray, "side side 3"]
    driver: UInt8[np.ndarray, "driver_size driver_size 3"]
    region: Region
    driver_box: Box


@dataclass(frozen=True)
class EditSimulation:
    """Simulates edits of square images: target, region, and a driver from inside the region.

    A region too thin to hold a driver is drawn again, up to 100 times.

    Args:
        image_size, driver_size: sides in pixels of the target and of the driver.
        view: makes the square target from a picture of any size.
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

    def __post_init__(self) -> None:
        check_range("image_size in pixels", self.image_size, self.image_size, 16, 4096)
        check_range("driver_size in pixels", self.driver_size, self.driver_size, 4, 4096)

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], rng: np.random.Generator
    ) -> SimulatedEdit:
        """The edit that one picture of any size and the state of the generator give."""
        return self.on_square(self.view(image, self.image_size, rng), rng)

    def on_square(
        self, target: UInt8[np.ndarray, "height width 3"], rng: np.random.Generator
    ) -> SimulatedEdit:
        """Without the view, on a picture that has `image_size` already; a ValueError otherwise."""
        return self.at(target, self.place(rng), rng)

    def place(self, rng: np.random.Generator) -> Placement:
        """Draws the region, and the driver crop in it.

        Raises:
            ValueError: when 100 regions were all too thin.
        """
        for _ in range(_DRAWS):
            region = self.region(self.image_size, rng)
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
        driver = placement.driver_box.crop(target)
        for transformation in self.transformations.values():
            driver = transformation(driver, rng)
        driver = np.ascontiguousarray(resize(driver, self.driver_size, self.driver_size))
        return SimulatedEdit(target, driver, *placement)

    def driver_from(
        self, image: UInt8[np.ndarray, "height width 3"], driver_box: Box
    ) -> UInt8[np.ndarray, "driver_size driver_size 3"]:
        """The driver that another image gives at this box: resized, nothing random."""
        return crop_driver(image, driver_box, self.driver_size)

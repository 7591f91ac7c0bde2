"""Edit simulation: from a plain picture to target, edit region and driver.

Pure functions of numpy arrays; every random one takes the generator it draws from.
"""

from e2eve.edit_simulation.brush import Brush
from e2eve.edit_simulation.drivers import DriverCrop, crop_driver
from e2eve.edit_simulation.free_form import FreeForm
from e2eve.edit_simulation.regions import Block, Mixed, Region, RegionSampler
from e2eve.edit_simulation.simulation import EditSimulation, Placement, SimulatedEdit
from e2eve.edit_simulation.transformations import (
    Blur,
    ColourJitter,
    Flip,
    PositionJitter,
    Rotation,
    Scale,
    Transformation,
)
from e2eve.edit_simulation.view import CentreView, RandomView

__all__ = [
    "Block",
    "Blur",
    "Brush",
    "CentreView",
    "ColourJitter",
    "DriverCrop",
    "EditSimulation",
    "Flip",
    "FreeForm",
    "Mixed",
    "Placement",
    "PositionJitter",
    "RandomView",
    "Region",
    "RegionSampler",
    "Rotation",
    "Scale",
    "SimulatedEdit",
    "Transformation",
    "crop_driver",
]

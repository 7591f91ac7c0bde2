"""Edit simulation: from a plain image to target, edit region and driver.

Pure functions of numpy arrays; every random one takes the generator it draws from.
"""

from e2eve.edit_simulation.regions import (
    Block,
    Brush,
    FreeForm,
    Mixed,
    Rectangle,
    Region,
    RegionSampler,
)
from e2eve.edit_simulation.simulation import (
    Blur,
    CentreView,
    ColourJitter,
    DriverCrop,
    EditSimulation,
    Flip,
    Placement,
    PositionJitter,
    RandomView,
    Rotation,
    Scale,
    SimulatedEdit,
    Transformation,
)

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
    "Rectangle",
    "Region",
    "RegionSampler",
    "Rotation",
    "Scale",
    "SimulatedEdit",
    "Transformation",
]

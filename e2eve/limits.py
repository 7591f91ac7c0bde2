"""Ranges of settings, as types that stand beside the settings themselves.

In a dataclass that a config fills, or in the signature of what a config names, such a type is what
`config` checks. Upper limits lie beyond what anybody has trained or drawn, and below what fills
every memory or never ends. Python code that gives a number itself is not looked at.
"""

from typing import Annotated

from pydantic import Field

MOST = 1_000_000_000  # of what is counted

Positive = Annotated[int, Field(ge=1, le=MOST)]  # a count of at least one
NonNegative = Annotated[int, Field(ge=0, le=MOST)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something

Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # as NumPy's global generator takes them
Pixels = Annotated[int, Field(ge=1, le=8192)]  # per side
Samples = Annotated[int, Field(ge=1, le=10_000)]  # of an input, or inputs at once
Processes = Annotated[int, Field(ge=1, le=1024)]  # or threads, devices, machines
Loaders = Annotated[int, Field(ge=0, le=1024)]  # processes too; 0: none but the main one
Port = Annotated[int, Field(ge=0, le=65535)]

# Of networks and what they are trained on.
Layers = Annotated[int, Field(ge=1, le=512)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Codes = Annotated[int, Field(ge=2, le=65_536)]  # cached ids have 16 bits
Weight = Annotated[float, Field(ge=0, le=1e6)]  # of a term of a loss

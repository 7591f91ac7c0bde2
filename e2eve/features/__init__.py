"""Feature networks: features for metrics, perceptual distances for losses."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from e2eve.features.frozen import FeatureExtractor, PerceptualDistance, PooledMaps

EXTRACTORS = {
    "efficientnet_lite0": "efficientnet:EfficientNetLite0",
    "inception_v3": "inception:InceptionV3",
}
PERCEPTUAL = {
    "efficientnet_lite0": "efficientnet:EfficientNetDistance",
    "lpips_vgg": "lpips:LpipsVgg",
}

__all__ = [
    "FeatureExtractor",
    "PerceptualDistance",
    "PooledMaps",
    "build_extractor",
    "build_perceptual",
]


def build_extractor(
    name: str, weights: str | Path | None = None, **options: Any
) -> FeatureExtractor:
    """The feature extractor of that name.

    Args:
        weights: path of its weights; None: the packaged or downloaded ones.
        options: what else its constructor takes, such as `side` of efficientnet_lite0.

    Raises:
        ValueError: for an unknown name, or weights that cannot be had.
    """
    return _class_of(name, EXTRACTORS, "feature extractor")(weights, **options)


def build_perceptual(name: str, weights: str | Path | None = None) -> PerceptualDistance | None:
    """The perceptual distance of that name; None for "none". Errors as in `build_extractor`."""
    if name == "none":
        return None
    return _class_of(name, PERCEPTUAL, "perceptual distance", ("none",))(weights)


def _class_of(name: str, known: Mapping[str, str], kind: str, others: Sequence[str] = ()) -> Any:
    if name not in known:
        choices = ", ".join([*known, *others])
        raise ValueError(f"There is no {kind} named {name!r}, choose one of: {choices}.")
    module, _, class_name = known[name].partition(":")
    return getattr(import_module(f"e2eve.features.{module}"), class_name)

"""Feature networks: features for metrics, perceptual distances for losses."""

from e2eve.features.frozen import (
    FEATURES_AT_ONCE,
    FeatureExtractor,
    PerceptualDistance,
    PooledMaps,
    Preprocessing,
    crop_and_resize,
    features_of,
    region_features,
)
from e2eve.features.networks import build_extractor, build_perceptual

__all__ = [
    "FEATURES_AT_ONCE",
    "FeatureExtractor",
    "PerceptualDistance",
    "PooledMaps",
    "Preprocessing",
    "build_extractor",
    "build_perceptual",
    "crop_and_resize",
    "features_of",
    "region_features",
]

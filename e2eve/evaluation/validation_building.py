"""Builds a validation set from any data set; everything follows from the seed."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from e2eve.data.image_folder import ImageFolder
from e2eve.data.images import square, to_tensor
from e2eve.data.splits import Images
from e2eve.edit_simulation import EditSimulation, Placement
from e2eve.editing.edits import as_mask
from e2eve.evaluation.validation import FORMAT, ValidationInput, ValidationSet, prepared
from e2eve.features import (
    FeatureExtractor,
    PerceptualDistance,
    PooledMaps,
    features_of,
    region_features,
)
from e2eve.geometry import Box
from e2eve.metrics.base import ReferenceFeatures
from e2eve.reporting.grid import mask_image
from e2eve.reporting.progress import Report, silent

log = logging.getLogger(__name__)


class ImageRoles(NamedTuple):
    """Which images of the data set are used for what."""

    inputs: list[int]
    origins: list[int]  # the driver of input n comes out of the image of input origins[n]
    references: list[int]
    distractors: list[int]  # two more than are needed at a time


def draw_plan(
    usable: Sequence[int], num_inputs: int, num_distractors: int, num_references: int, seed: int
) -> ImageRoles:
    """Inputs come first in a random order; references and distractors are other images as long
    as there are any.

    Drivers wander along a random cycle through all inputs, so that none meets its own source.

    Args:
        usable: indices of the images that there are.

    Raises:
        ValueError: where the data set is too small.
    """
    needed = {
        "num_inputs": num_inputs,
        "num_references": num_references,
        "num_distractors + 2": num_distractors + 2,
    }
    for name, count in needed.items():
        if count > len(usable):
            raise ValueError(
                f"{name} is {count} and the data set has {len(usable)} images, lower it or add "
                "some."
            )
    if min(num_inputs, num_references) < 2 or num_distractors < 1:
        raise ValueError(
            f"A validation set of {num_inputs} inputs, {num_references} references and "
            f"{num_distractors} distractors is too small, take at least 2, 2 and 1."
        )
    rng = np.random.default_rng((seed, len(usable)))
    order = np.array(usable)[rng.permutation(len(usable))]
    cycle = rng.permutation(num_inputs)
    origins = np.empty_like(cycle)
    origins[cycle] = np.roll(cycle, -1)
    others = np.roll(order, -num_inputs).tolist()
    return ImageRoles(
        order[:num_inputs].tolist(),
        origins.tolist(),
        others[:num_references],
        others[: num_distractors + 2],
    )


@dataclass(frozen=True)
class Scenes:
    """Images as their largest centred squares, and places of edits on them.

    Image `index` always gets the same place. With `masks`, input n is edited in mask n, from the
    first again where they run out.
    """

    images: Images
    simulation: EditSimulation
    seed: int
    masks: Sequence[Bool[np.ndarray, "side side"]] | None = None

    def view(self, index: int) -> UInt8[np.ndarray, "side side 3"]:
        return square(self.images[index], self.simulation.image_size)

    def place(self, index: int, n: int) -> Placement:
        rng = np.random.default_rng((self.seed, index))
        if self.masks is None:
            return self.simulation.place(rng)
        return self.simulation.place_in(self.masks[n % len(self.masks)], rng)

    def names(self, indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.images.name(index) for index in indices)


def build_validation_set(
    images: Images,
    simulation: EditSimulation,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None = None,
    *,
    num_inputs: int,
    num_references: int,
    num_distractors: int = 100,
    seed: int = 0,
    same_place: bool = True,
    masks: Sequence[Bool[np.ndarray, "side side"]] | None = None,
    name: str = "validation",
    progress: Report = silent,
) -> ValidationSet:
    """Unpaired inputs with regions drawn by the simulation, and features of real images.

    Args:
        simulation: draws regions and driver boxes. Its view and its driver transformations are
            left out, so that training runs that differ in them share a validation set.
        extractor: for the Fréchet and kernel distances.
        perceptual: its maps are what R@k compares; without it the extractor's features are.
        num_references: images for the Fréchet and kernel distances; as many as there are
            stands for all that are not damaged.
        num_distractors: crops of other images among which a driver has to be found; they are
            cut out where the driver was cut out of its image.
        same_place: cut drivers out where the region is, for aligned images; otherwise where a
            simulated edit of the driver's own image has its driver.
        masks: edit regions that are used in turn instead of simulated ones.

    Raises:
        ValueError: where the data set is too small, or a mask is empty or too thin.
    """
    scenes = Scenes(images, simulation, seed, masks)
    while True:
        usable = distinct(images)
        references = len(usable) if num_references == len(images) else num_references
        plan = draw_plan(usable, num_inputs, num_distractors, references, seed)
        built = _built(plan, scenes, extractor, perceptual, same_place, name, progress)
        if distinct(images) == usable:
            return built.hashed()
        log.warning("The validation set is built again without the damaged images.")


def distinct(images: Images) -> list[int]:
    """Indices of different images: where one is known to be damaged, another stands in for it."""
    return list({images.name(index): index for index in range(len(images))}.values())


def _built(
    plan: ImageRoles,
    scenes: Scenes,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
    same_place: bool,
    name: str,
    progress: Report,
) -> ValidationSet:
    simulation, names = scenes.simulation, scenes.names(plan.inputs)
    sources = np.stack([scenes.view(index) for index in plan.inputs])
    places = [scenes.place(index, n) for n, index in enumerate(plan.inputs)]
    pairs = list(zip(places, plan.origins, strict=True))
    boxes = [(place if same_place else places[origin]).driver_box for place, origin in pairs]
    drivers = _cut(simulation, sources[plan.origins], boxes)
    retrieval = PooledMaps(perceptual) if perceptual is not None else extractor
    features = ReferenceFeatures(
        *_reference_features(scenes, plan, extractor, progress),
        sources=features_of(extractor, sources),
        drivers=features_of(retrieval, drivers),
        distractors=_distractor_features(scenes, plan, boxes, retrieval, progress),
    )
    inputs = tuple(
        ValidationInput(
            id=f"{n:05d}",
            source=names[n],
            driver=names[origin],
            region_box=place.region.box,
            driver_box=boxes[n],
            paired_driver_box=place.driver_box,
        )
        for n, (place, origin) in enumerate(pairs)
    )
    return ValidationSet(
        inputs=inputs,
        sources=sources,
        regions=np.stack([place.region.mask for place in places]),
        drivers=drivers,
        paired_drivers=_cut(simulation, sources, [place.driver_box for place in places]),
        features=features,
        distractor_names=scenes.names(plan.distractors),
        reference_names=scenes.names(plan.references),
        manifest={
            "format": FORMAT,
            "name": name,
            "extractor": extractor.name,
            "retrieval": retrieval.name,
            "preprocessing": prepared(extractor, retrieval),
            "same_place": same_place,
            "inputs": len(plan.inputs),
            "distractors": len(plan.distractors) - 2,
            "references": len(plan.references),
            "references_that_are_sources": len(set(plan.inputs) & set(plan.references)),
            "image_size": simulation.image_size,
            "driver_size": simulation.driver_size,
            "seed": scenes.seed,
            "given_masks": None if scenes.masks is None else len(scenes.masks),
            "region": described(simulation.region),
            "driver": described(simulation.driver),
        },
    )


def _cut(
    simulation: EditSimulation, images: UInt8[np.ndarray, "n side side 3"], boxes: Sequence[Box]
) -> UInt8[np.ndarray, "n driver_side driver_side 3"]:
    return np.stack([simulation.driver_from(*pair) for pair in zip(images, boxes, strict=True)])


# Of whole images, and of a region of each.
def _reference_features(
    scenes: Scenes, plan: ImageRoles, extractor: FeatureExtractor, progress: Report
) -> tuple[Float[Tensor, "references dim"], Float[Tensor, "references dim"]]:
    whole, regions, step = [], [], 64
    for start in range(0, len(plan.references), step):
        indices = plan.references[start : start + step]
        views = [scenes.view(index) for index in indices]
        boxes = [scenes.place(index, start + n).region.box for n, index in enumerate(indices)]
        images = to_tensor(np.stack(views)).to(extractor.device)
        whole.append(extractor(images).cpu())
        regions.append(region_features(extractor, images, boxes).cpu())
        progress("reference features", start + len(views), len(plan.references))
    return torch.cat(whole), torch.cat(regions)


# Crops of the pool at each driver's box, without the source's and the driver's own image.
def _distractor_features(
    scenes: Scenes,
    plan: ImageRoles,
    boxes: Sequence[Box],
    retrieval: FeatureExtractor,
    progress: Report,
) -> Float[Tensor, "inputs distractors dim"]:
    views = {index: scenes.view(index) for index in plan.distractors}
    result = []
    for n, box in enumerate(boxes):
        own = {plan.inputs[n], plan.inputs[plan.origins[n]]}
        chosen = [index for index in views if index not in own][: len(views) - 2]
        crops = [scenes.simulation.driver_from(views[index], box) for index in chosen]
        result.append(features_of(retrieval, crops).half())
        progress("distractor features", n + 1, len(boxes))
    return torch.stack(result)


def read_masks(folder: str | Path, side: int) -> list[Bool[np.ndarray, "side side"]]:
    """Masks from the images below a folder, by name: white is edited, black or unpainted kept."""
    masks = (as_mask(Path(folder, name)) for name in ImageFolder(folder).names)
    return [square(mask_image(mask), side)[..., 0] > 127 for mask in masks]


def described(thing: Any) -> Any:
    """Settings as JSON: a dataclass by its class and fields, containers by their items."""
    if is_dataclass(thing):
        values = {field.name: described(getattr(thing, field.name)) for field in fields(thing)}
        return {"kind": type(thing).__name__, **values}
    if isinstance(thing, Mapping):
        return {str(key): described(value) for key, value in thing.items()}
    return thing

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
from e2eve.editing.inputs import as_mask
from e2eve.evaluation.settings import check_counts
from e2eve.evaluation.validation import FORMAT, Answers, ValidationInput, ValidationSet, prepared
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
    check_counts(len(usable), num_inputs, num_distractors, num_references)
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

    def region_box(self, index: int, n: int) -> Box:
        """Where image `index` is edited as the n-th."""
        return self.place(index, n).region.box

    def driver(
        self, view: UInt8[np.ndarray, "side side 3"], index: int, n: int, box: Box
    ) -> UInt8[np.ndarray, "driver_side driver_side 3"]:
        """The driver that the view of image `index` gives for input n, whose own lies at `box`."""
        return self.simulation.driver_from(view, box)

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
    about = {
        "same_place": same_place,
        "given_masks": None if masks is None else len(masks),
        "region": described(simulation.region),
        "driver": described(simulation.driver),
    }
    while True:
        usable = distinct(images)
        references = len(usable) if num_references == len(images) else num_references
        plan = draw_plan(usable, num_inputs, num_distractors, references, seed)
        built = with_features(
            _drawn(plan, scenes, same_place),
            scenes,
            plan,
            extractor,
            perceptual,
            name=name,
            about=about,
            progress=progress,
        )
        if distinct(images) == usable:
            return built.hashed()
        log.warning("The validation set is built again without the damaged images.")


def distinct(images: Images) -> list[int]:
    """Indices of different images: where one is known to be damaged, another stands in for it."""
    return list({images.name(index): index for index in range(len(images))}.values())


class DrawnInputs(NamedTuple):
    """Inputs of a validation set whose features are still to be taken."""

    inputs: tuple[ValidationInput, ...]
    sources: UInt8[np.ndarray, "inputs side side 3"]
    regions: Bool[np.ndarray, "inputs side side"]
    drivers: UInt8[np.ndarray, "inputs driver_side driver_side 3"]
    paired_drivers: UInt8[np.ndarray, "inputs driver_side driver_side 3"]
    answers: Answers | None = None


def _drawn(plan: ImageRoles, scenes: Scenes, same_place: bool) -> DrawnInputs:
    simulation, names = scenes.simulation, scenes.names(plan.inputs)
    sources = np.stack([scenes.view(index) for index in plan.inputs])
    places = [scenes.place(index, n) for n, index in enumerate(plan.inputs)]
    pairs = list(zip(places, plan.origins, strict=True))
    boxes = [(place if same_place else places[origin]).driver_box for place, origin in pairs]
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
    return DrawnInputs(
        inputs=inputs,
        sources=sources,
        regions=np.stack([place.region.mask for place in places]),
        drivers=_cut(simulation, sources[plan.origins], boxes),
        paired_drivers=_cut(simulation, sources, [place.driver_box for place in places]),
    )


def with_features(
    drawn: DrawnInputs,
    scenes: Scenes,
    plan: ImageRoles,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
    *,
    name: str,
    about: Mapping[str, Any],
    progress: Report,
) -> ValidationSet:
    """The validation set of these inputs.

    Args:
        about: how the inputs were drawn, for the manifest.
    """
    retrieval = PooledMaps(perceptual) if perceptual is not None else extractor
    boxes = [item.driver_box for item in drawn.inputs]
    features = ReferenceFeatures(
        *_reference_features(scenes, plan, extractor, progress),
        sources=features_of(extractor, drawn.sources),
        drivers=features_of(retrieval, drawn.drivers),
        distractors=_distractor_features(scenes, plan, boxes, retrieval, progress),
    )
    return ValidationSet(
        **drawn._asdict(),
        features=features,
        distractor_names=scenes.names(plan.distractors),
        reference_names=scenes.names(plan.references),
        manifest={
            "format": FORMAT,
            "name": name,
            "extractor": extractor.name,
            "retrieval": retrieval.name,
            "preprocessing": prepared(extractor, retrieval),
            "inputs": len(drawn.inputs),
            "distractors": len(plan.distractors) - 2,
            "references": len(plan.references),
            "references_that_are_sources": len(set(plan.inputs) & set(plan.references)),
            "image_size": scenes.simulation.image_size,
            "driver_size": scenes.simulation.driver_size,
            "seed": scenes.seed,
            **about,
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
        boxes = [scenes.region_box(index, start + n) for n, index in enumerate(indices)]
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
        crops = [scenes.driver(views[index], index, n, box) for index in chosen]
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

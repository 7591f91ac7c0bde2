"""Builds a validation set of toy faces whose right edits are known; everything follows from the
seed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from e2eve.data.images import resize
from e2eve.data.splits import Images
from e2eve.data.toyfaces import ToyFaces, draw_face
from e2eve.data.toyfaces.answers import (
    CHANGE,
    GROUPS,
    Answered,
    Placed,
    answered,
    changed,
    graded,
    refusal,
)
from e2eve.edit_simulation import EditSimulation
from e2eve.evaluation.settings import check_counts
from e2eve.evaluation.validation import Answers, ValidationInput, ValidationSet
from e2eve.evaluation.validation_building import (
    DrawnInputs,
    ImageRoles,
    Scenes,
    with_features,
)
from e2eve.features import FeatureExtractor, PerceptualDistance
from e2eve.geometry import Box
from e2eve.reporting.progress import Report, silent

TRIES = 500  # pairs of faces drawn for an input before giving up

SKINS = ("the source's", "its own")


def group_of(n: int) -> str:
    """Groups take turns, so that the first inputs show all of them."""
    return list(GROUPS)[n % len(GROUPS)]


def keeps_skin(n: int) -> bool:
    """Whether the driver of input n is drawn with its own skin: half of each group's are."""
    return n // len(GROUPS) % 2 == 1


@dataclass(frozen=True)
class FaceScenes(Scenes):
    """Toy faces, the n-th of which is edited where input n's group is drawn under its pose."""

    images: ToyFaces

    def placed(self, index: int, n: int) -> Placed:
        return Placed(self.images.attributes(index), group_of(n), self.simulation.image_size)

    def region_box(self, index: int, n: int) -> Box:
        return self.placed(index, n).box

    def driver(
        self, view: UInt8[np.ndarray, "side side 3"], index: int, n: int, box: Box
    ) -> UInt8[np.ndarray, "driver_side driver_side 3"]:
        side = self.simulation.driver_size
        return resize(self.placed(index, n).box.padded_crop(view), side, side)


class Pair(NamedTuple):
    """An edit, which pixels of it are graded, and the indices of the faces it was made of."""

    edit: Answered
    graded: Bool[np.ndarray, "side side"]
    a: int
    b: int


def build_answered_set(
    images: Images,
    simulation: EditSimulation,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None = None,
    *,
    num_inputs: int,
    num_references: int,
    num_distractors: int = 100,
    seed: int = 0,
    name: str = "validation",
    progress: Report = silent,
) -> ValidationSet:
    """Edits of toy faces with a right answer, in each of the groups in turn.

    No face is used twice. References and distractors are other faces as long as there are any,
    as they come, the latter cut out where the driver's group is drawn on them.

    Args:
        simulation: only the sizes of images and drivers.

    Raises:
        ValueError: for images that are no ToyFaces, or too few of them.
    """
    if not isinstance(images, ToyFaces):
        raise ValueError(
            f"kind=attributes needs faces that are drawn from attributes and the data set is "
            f"{type(images).__name__}: take dataset=toyfaces."
        )
    check_counts(len(images), num_inputs, num_distractors, num_references, per_input=2)
    scenes = FaceScenes(images, simulation, seed)
    refused: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    pairs = []
    for pair in _pairs(scenes, num_inputs, refused):
        pairs.append(pair)
        progress("edits with an answer", len(pairs), num_inputs)
    used = [pair.a for pair in pairs] + [pair.b for pair in pairs]
    others = sorted({*range(len(images))} - {*used}) + used
    plan = ImageRoles(
        inputs=used,
        origins=list(range(num_inputs, 2 * num_inputs)),
        references=others[:num_references],
        distractors=others[: num_distractors + 2],
    )
    return with_features(
        _drawn(pairs, scenes),
        scenes,
        plan,
        extractor,
        perceptual,
        name=name,
        about={"kind": "attributes", "same_place": True, "refused": refused},
        progress=progress,
    ).hashed()


# Counts in `refused` what has no answer, by group and reason.
def _pairs(scenes: FaceScenes, num_inputs: int, refused: dict[str, Counter[str]]) -> Iterator[Pair]:
    rng, left = np.random.default_rng(scenes.seed), np.arange(len(scenes.images))
    for n in range(num_inputs):
        for _ in range(TRIES):
            a, b = rng.choice(left, 2, replace=False).tolist()
            source, other = (scenes.images.attributes(index) for index in (a, b))
            edit = answered(group_of(n), source, other, keep_skin=keeps_skin(n))
            reason = refusal(edit, scenes.simulation.image_size)
            if reason is None:
                break
            refused[edit.group][reason] += 1
        else:
            raise ValueError(
                f"{TRIES} pairs of {len(left)} faces gave no edit of the group {group_of(n)} as "
                f"input {n + 1} of {num_inputs}: lower num_inputs or take more faces."
            )
        yield Pair(edit, graded(edit, scenes.simulation.image_size), a, b)
        left = np.setdiff1d(left, (a, b))


def _drawn(pairs: list[Pair], scenes: FaceScenes) -> DrawnInputs:
    size = scenes.simulation.image_size
    sources, shown, answers = (
        np.stack([draw_face(getattr(pair.edit, part), size) for pair in pairs])
        for part in ("source", "driver", "answer")
    )
    known = np.stack([pair.graded for pair in pairs])
    change = np.stack([changed(pair.edit, size, CHANGE) for pair in pairs])
    places = [(scenes.placed(p.a, n), scenes.placed(p.b, n)) for n, p in enumerate(pairs)]
    inputs = tuple(
        ValidationInput(
            id=f"{n:05d}",
            source=scenes.images.name(pair.a),
            driver=scenes.images.name(pair.b),
            region_box=source.box,
            driver_box=driver.box,
            paired_driver_box=source.box,
            paste_box=driver.onto(source),
            groups={"edit": pair.edit.group, "driver's skin": SKINS[keeps_skin(n)]},
        )
        for n, (pair, (source, driver)) in enumerate(zip(pairs, places, strict=True))
    )

    def drivers(images: np.ndarray, indices: list[int]) -> np.ndarray:
        given = enumerate(zip(images, indices, strict=True))
        return np.stack([scenes.driver(*pair, n, inputs[n].driver_box) for n, pair in given])

    return DrawnInputs(
        inputs=inputs,
        sources=sources,
        regions=np.stack([item.region_box.mask(size, size) for item in inputs]),
        drivers=drivers(shown, [pair.b for pair in pairs]),
        paired_drivers=drivers(sources, [pair.a for pair in pairs]),
        answers=Answers(answers, change & known, known & ~change),
    )

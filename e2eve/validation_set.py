"""Build a validation set: `python -m e2eve.validation_set [+experiment=…] out=FOLDER`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from e2eve.checks import check_writable
from e2eve.commands import command
from e2eve.config import about, device_of, instantiate, plain, read_settings
from e2eve.evaluation.settings import EvaluationSettings, check_counts
from e2eve.limits import Pixels, Text
from e2eve.reporting.page import Column, Page

if TYPE_CHECKING:
    from e2eve.evaluation.validation import ValidationSet


@dataclass(frozen=True)
class ValidationSetSettings:
    """What the command reads of its configuration, which is that of a training run and more."""

    out: Text
    kind: Literal["unpaired", "attributes"]
    split: Literal["train", "val"]
    same_place: bool
    retrieval: Literal["perceptual", "extractor"]
    regions: Text | None
    device: str
    image_size: Pixels
    dataset: dict[str, Any]
    edit_simulation: dict[str, Any]
    evaluation: EvaluationSettings


def build(config: DictConfig) -> Path:
    """Writes the folder, and index.html into it; the path of the page."""
    values = plain(config)
    names = ValidationSetSettings.__dataclass_fields__
    settings = read_settings({name: values[name] for name in names}, ValidationSetSettings)

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.data.splits import build_splits
    from e2eve.evaluation.answered_inputs import build_answered_set
    from e2eve.evaluation.validation import check_is_new
    from e2eve.evaluation.validation_building import build_validation_set, read_masks
    from e2eve.features import build_extractor, build_perceptual
    from e2eve.reporting.progress import progress_bars

    asked = settings.evaluation
    with about("out"):
        folder = check_is_new(settings.out)
    check_writable(folder, "out")
    images = getattr(build_splits(settings.dataset), settings.split)
    device = device_of(settings.device)
    if settings.kind == "attributes":
        if settings.regions:
            raise ValueError(
                f"regions is {settings.regions} and kind=attributes has regions of its own, leave "
                "one of them out."
            )
        draw: Callable[..., ValidationSet] = build_answered_set
    else:
        check_counts(len(images), asked.num_inputs, asked.num_distractors, asked.num_references)
        with about("regions"):
            masks = read_masks(settings.regions, settings.image_size) if settings.regions else None
        draw = partial(build_validation_set, same_place=settings.same_place, masks=masks)
    perceptual = None
    if settings.retrieval == "perceptual":
        given = "perceptual_weights" if asked.perceptual_weights else "perceptual"
        with about(f"evaluation.{given}"):
            perceptual = build_perceptual(asked.perceptual, asked.perceptual_weights)
    given = "extractor_weights" if asked.extractor_weights else "extractor"
    with about(f"evaluation.{given}"):
        extractor = build_extractor(asked.extractor, asked.extractor_weights).to(device)
    simulation = instantiate(settings.edit_simulation, "edit_simulation")
    with progress_bars() as report:
        validation = draw(
            images,
            simulation,
            extractor,
            perceptual and perceptual.to(device),
            num_inputs=asked.num_inputs,
            num_references=asked.num_references,
            num_distractors=asked.num_distractors,
            seed=asked.seed,
            name=folder.name,
            progress=report,
        )
    validation.save(folder)
    return validation_page(validation).write(folder / "index.html")


def validation_page(validation: "ValidationSet", most: int = 24) -> Page:
    """A validation set for people: its first inputs as images, and what it is made of."""
    from e2eve.evaluation.systems import paste
    from e2eve.reporting.grid import image_grid, outlined

    count, manifest = min(most, len(validation)), validation.manifest
    inputs, covered = validation.inputs[:count], validation.regions.mean((1, 2))
    sources, regions = validation.sources[:count], validation.regions[:count]
    boxes, patches = validation.region_boxes[:count], [validation.patch(n) for n in range(count)]
    shown = {
        "source, region": map(outlined, sources, regions),
        "region": regions,
        "driver": validation.drivers,
        "paste": paste(sources, regions, boxes, patches),
        "paired driver": validation.paired_drivers,
    }
    if validation.answers is not None:
        shown |= {"answer": validation.answers.images, "changed": validation.answers.changed}
    labels = ["\n".join([item.id, item.source, *item.groups.values()]) for item in inputs]
    facts = {
        "Sizes": f"{validation.image_size} pixels, drivers {validation.driver_size} pixels",
        "Regions": f"{covered.min():.0%} to {covered.max():.0%} of the image",
        "Drivers are cut out": "where the region is"
        if manifest["same_place"]
        else "at a place of their own",
        "Reference images": str(manifest["references"]),
        "of them also sources": str(manifest["references_that_are_sources"]),
        "Distractors of each driver": str(manifest["distractors"]),
        "Features for distances of sets": manifest["extractor"],
        "Features for finding drivers": manifest["retrieval"],
        "Seed": str(manifest["seed"]),
        "sha256": validation.content_hash,
    }
    page = Page(f"Validation set {validation.name}", f"{len(validation)} unpaired inputs")
    page.text(
        "The task is to show the **driver** in the **region** of the **source**. Drivers come from "
        "other images; the paired driver is cut out of the source itself, and only serves to ask "
        "how well an editor predicts the source."
    )
    page.section(f"The first {count} of {len(validation)} inputs")
    page.image(
        image_grid(
            [list(row) for row in zip(*shown.values(), strict=False)], list(shown), labels, cell=128
        )
    )
    page.section("What it is made of").table(
        [{"fact": name, "value": value} for name, value in facts.items()],
        [Column("fact", ""), Column("value", "")],
    )
    return page.details("manifest.json", json.dumps(dict(manifest), indent=2, ensure_ascii=False))


main = command("validation_set")(build)

if __name__ == "__main__":
    main()

"""A validation set for people: its inputs as pictures, and what it is made of."""

import json

from e2eve.evaluation.baselines import paste
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.reporting.grid import outlined, picture_grid
from e2eve.reporting.page import Column, Page

HEADINGS = ("source, region", "region", "driver", "paste", "paired driver")


def validation_page(validation: ValidationSet, shown: int = 24) -> Page:
    """The first `shown` inputs, and the manifest."""
    count = min(shown, len(validation))
    pastes = paste(
        validation.sources[:count],
        validation.regions[:count],
        validation.region_boxes[:count],
        validation.drivers[:count],
    )
    rows = [
        [
            outlined(validation.sources[n], validation.regions[n]),
            validation.regions[n],
            validation.drivers[n],
            pastes[n],
            validation.paired_drivers[n],
        ]
        for n in range(count)
    ]
    labels = [f"{item.id}\n{item.source}" for item in validation.inputs[:count]]
    page = Page(
        f"Validation set {validation.name}",
        f"{len(validation)} unpaired inputs",
    )
    page.text(
        "The task is to show the **driver** in the **region** of the **source**. Drivers come from "
        "other pictures; the paired driver is cut out of the source itself, and only serves to ask "
        "how well an editor predicts the source."
    )
    page.section(f"The first {count} of {len(validation)} inputs")
    page.picture(picture_grid(rows, HEADINGS, labels, cell=128))
    page.section("What it is made of").table(
        [{"fact": name, "value": value} for name, value in facts(validation)],
        [Column("fact", ""), Column("value", "")],
    )
    settings = json.dumps(dict(validation.manifest), indent=2, ensure_ascii=False)
    return page.details("manifest.json", settings)


def facts(validation: ValidationSet) -> list[tuple[str, str]]:
    """What a reader wants to know first, in words and figures."""
    manifest, covered = validation.manifest, validation.regions.mean((1, 2))
    place = "where the region is" if manifest["same_place"] else "at a place of their own"
    return [
        ("Sizes", f"{validation.image_size} pixels, drivers {validation.driver_size} pixels"),
        ("Regions", f"{covered.min():.0%} to {covered.max():.0%} of the picture"),
        ("Drivers are cut out", place),
        ("Reference pictures", str(manifest["references"])),
        ("of them also sources", str(manifest["references_that_are_sources"])),
        ("Distractors of each driver", str(manifest["distractors"])),
        ("Features for distances of sets", manifest["extractor"]),
        ("Features for finding drivers", manifest["retrieval"]),
        ("Seed", str(manifest["seed"])),
        ("sha256", validation.content_hash),
    ]

"""The README's pictures of edits: `python scripts/readme_pictures.py ATTRIBUTES MIXED [--model=…]`.

Nothing is chosen: the first eight inputs of a validation set of free regions, with their drivers of
other faces, and the first of each kind of the attribute edits beside its right answer. All go
through `Editor.edit`, as a person's edits do.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from e2eve import Editor
from e2eve.evaluation.validation import ValidationSet
from e2eve.reporting.grid import image_grid, outlined

INPUTS, SAMPLES, CELL = 8, 4, 112
EDITS, ANSWERS = ".results/edits.png", ".results/answers.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attributes", type=Path, help="validation set of kind=attributes")
    parser.add_argument("mixed", type=Path, help="validation set of edit_simulation=mixed")
    parser.add_argument("--model", default="toyfaces", help="bundle or run folder of an editor")
    given = parser.parse_args()
    editor = Editor.from_pretrained(given.model)
    edits_picture(editor, ValidationSet.load(given.mixed)).save(EDITS)
    answers_picture(editor, ValidationSet.load(given.attributes)).save(ANSWERS)


def edits_picture(editor: Editor, inputs: ValidationSet) -> Image.Image:
    """A row for each of the first inputs: source with region, driver, samples, best first."""
    rows = []
    for n in range(INPUTS):
        given = [outlined(inputs.sources[n], inputs.regions[n]), inputs.drivers[n]]
        rows.append([*given, *samples(editor, inputs, n)])
    headings = ["source", "driver", "edits, best first"]
    return image_grid(rows, headings, cell=CELL)


def answers_picture(editor: Editor, inputs: ValidationSet) -> Image.Image:
    """A row for the first input of each kind: source, driver, the best edit, the right answer."""
    assert inputs.answers is not None
    first: dict[str, int] = {}
    for n, item in enumerate(inputs.inputs):
        first.setdefault(next(iter(item.groups.values())), n)
    rows = []
    for n in first.values():
        given = [outlined(inputs.sources[n], inputs.regions[n]), inputs.drivers[n]]
        rows.append([*given, samples(editor, inputs, n)[0], inputs.answers.images[n]])
    headings = ["source", "driver", "best edit", "right answer"]
    return image_grid(rows, headings, labels=list(first), cell=CELL)


def samples(editor: Editor, inputs: ValidationSet, n: int) -> list[Any]:
    """Edits of input n, best first."""
    given = (inputs.sources[n], inputs.drivers[n], inputs.regions[n])
    edits = editor.edit(*given, num_samples=SAMPLES, seed=n, guidance=2)  # as the command does
    return [np.asarray(image) for image in edits.images]


if __name__ == "__main__":
    main()

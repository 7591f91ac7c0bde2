"""The model card of an editor: what it is, what it learned from, how good it is, in one page."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from e2eve.editor import Editor
from e2eve.evaluation.results import PICTURE, Results, read_results
from e2eve.evaluation.systems import SYSTEMS
from e2eve.runs import RunFolder

CARD, CARD_PICTURE = "README.md", "samples.png"
SHOWN = ("editor", "editor_mismatched", "poisson_tokenized", "paste_tokenized", "source")


def write_model_card(run: RunFolder, editor: Editor, name: str) -> Path:
    """Write README.md into the run's bundle, with the samples of its evaluation where there is one.

    Returns the card's path.
    """
    results = read_results(run.path) if (run / "metrics.json").exists() else None
    picture = run / PICTURE
    if results is not None and picture.exists():
        (run.bundle / CARD_PICTURE).write_bytes(picture.read_bytes())
    settings = run.settings()
    parts = [
        "---\nlibrary_name: e2eve\npipeline_tag: image-to-image\ntags: [image-editing, vqgan]\n---",
        f"# {name}",
        "An editor of images: it is shown a source, a region of it, and a driver, a small image of "
        "what should appear in the region, and draws edits. Trained with e2eve, after E2EVE "
        "(Brown, Fu, Parkhi, Berg, Vedaldi, ECCV 2022).",
        f"![Edits]({CARD_PICTURE})" if results is not None and picture.exists() else "",
        _use(editor),
        _training(run, settings, editor),
        _measured(results),
        _limits(editor),
        "## Licence\n\nNone is given yet: whoever shares these weights says here, and in the head "
        "of this file, how they may be used.",
    ]
    path = run.bundle / CARD
    path.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return path


def _use(editor: Editor) -> str:
    return (
        "## Use\n\n```python\nfrom e2eve import Box, Editor\n\n"
        'editor = Editor.from_pretrained("path/of/this/folder")\n'
        'result = editor.edit("source.png", "driver.png", Box(left, top, right, bottom))\n'
        'result.images[0].save("edit.png")\n```\n\n'
        f"It works on squares of {editor.image_size} pixels and drivers of {editor.driver_size}; "
        "images of any size are scaled to that, and pixels outside the region stay as they are."
    )


def _training(run: RunFolder, settings: Mapping[str, Any], editor: Editor) -> str:
    data = settings["dataset"]
    target = data.get("_target_") or data["train"]["_target_"]
    described = str(target).rpartition(".")[2]
    if root := data.get("root"):
        described += f" of the folder {Path(str(root)).name}"
    size = sum(p.numel() for p in editor.transformer.parameters())
    steps, batch = settings["trainer"]["max_steps"], settings["batch_size"]
    rows = {
        "Data": described,
        "Regions": str(settings["edit_simulation"]["region"]["_target_"]).rpartition(".")[2],
        "Transformer": f"{type(editor.transformer).__name__}, "
        f"{size / 1e6:.1f} M weights, beside tokenizers with "
        f"{editor.source_tokenizer.codebook_size} codes",
        "Training": f"{steps} steps of {batch} simulated edits",
        "Command": f"`python -m e2eve.train {_overrides(run)}`",
    }
    return "## Training\n\n" + _table(("", ""), rows.items())


def _overrides(run: RunFolder) -> str:
    """What the command was given, less where things lie on its machine."""
    path = run / ".hydra/overrides.yaml"
    given: Any = OmegaConf.load(path) if path.exists() else []
    kept = (str(text) for text in given if "/" not in str(text).partition("=")[2])
    return " ".join(map(shlex.quote, kept))


def _measured(results: Results | None) -> str:
    if results is None:
        return "## Measured\n\nNothing has been measured."
    about = results.about
    infos = [
        info
        for info in results.infos
        if info.shown and any(info.key in results.systems.get(key, {}) for key in SHOWN)
    ]
    names = {system.key: system.name for system in SYSTEMS}
    rows = [
        (names[key], *(_value(results, key, info.key, info.spec) for info in infos))
        for key in SHOWN
        if key in results.systems
    ]
    return (
        f"## Measured\n\nOn {about['inputs']} inputs whose sources and drivers are of different "
        f"images that were not trained on, {about['num_samples']} samples each, with sampling "
        f"`{json.dumps({k: v for k, v in about['sampling'].items() if v is not None})}`. The "
        "other rows need no training: they say what the numbers are worth.\n\n"
        + _table(("", *(f"{info.label}{_direction(info.best)}" for info in infos)), rows)
    )


def _direction(best: str | None) -> str:
    return {"low": " ↓", "high": " ↑"}.get(best or "", "")


def _value(results: Results, system: str, key: str, spec: str) -> str:
    value = results.systems[system].get(key)
    if value is None:
        return ""
    margin = results.margins.get(system, {}).get(key)
    return format(value, spec) + (f" ± {format(margin, spec)}" if margin else "")


def _limits(editor: Editor) -> str:
    text = (
        "## Limits\n\nDrivers are understood as crops of the kind of image that the editor was "
        "trained on, at about the same place and scale; they are not turned, lit or restyled."
    )
    if editor.trained_on is None:
        return text
    least, largest = editor.trained_on.region_shares
    return (
        f"{text} Regions took {least:.1%} to {largest:.1%} of the square in training. Other "
        "regions, and sources and drivers unlike the training's, are edited with a warning."
    )


def _table(heading: Sequence[str], rows: Any) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in lines)

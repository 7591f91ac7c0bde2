"""Run folders as a sweep leaves them, with made-up numbers and samples made of ToyFaces."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from e2eve.data.toyfaces import ToyFaces
from e2eve.evaluation.results import FORMAT, INPUTS, METRICS, read_results
from e2eve.geometry import Box
from e2eve.metrics.info import MetricInfo

HASH = "ab" * 32
EXTRACTOR = "efficientnet_lite0"


@dataclass(frozen=True)
class Made:
    """What a made-up run is like.

    `skill` moves every number to the better, but for distances to real pictures where they have a
    `naturalness` of their own; `spread` is the noise between seeds. Samples of the first `saved`
    inputs are kept as images. `format` is that of the results, which may hold metrics of another
    package, `foreign`, with their values.
    """

    choices: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    skill: float = 0.0
    naturalness: float | None = None
    spread: float = 0.02
    inputs: int = 20
    saved: int = 4
    samples: int = 4
    side: int = 64
    state: str = "done"
    error: str = ""
    validation_hash: str = HASH
    overrides: Mapping[str, Any] = field(default_factory=dict)
    task: str = "editor"
    format: int = FORMAT
    foreign: Mapping[MetricInfo, float] = field(default_factory=dict)


def write_run(folder: Path, made: Made) -> Path:
    """All files of one run; without results unless it is done. Returns the folder."""
    folder.mkdir(parents=True)
    _write_config(folder, made)
    status = {"state": made.state, "time": f"2026-11-22T1{made.seed % 10}:00:00+00:00"}
    if made.error:
        status["error"] = made.error
    (folder / "status.json").write_text(json.dumps(status))
    rng = np.random.default_rng([made.seed, *repr(sorted(made.choices.items())).encode()])
    _write_curves(folder / "metrics.csv", made, rng)
    if made.state == "done" and not made.task.endswith("_tokenizer"):
        write_results(folder, made, rng)
        write_validation_set(folder / "validation_set", made)
        (folder / "report.html").write_text("<title>report</title>")
    return folder


def write_results(folder: Path, made: Made, rng: np.random.Generator) -> None:
    """metrics.json and the tables that its means are the means of, and samples of some inputs."""
    ability = made.skill + made.spread * rng.standard_normal()
    inputs = np.random.default_rng(99).standard_normal(made.inputs) / 10  # the same for every run
    ranks = 1 + np.floor(
        100 * rng.random((made.inputs, made.samples)) ** (1.5 + 3 * max(0, ability))
    )
    distances = 30 + 40 * rng.random((made.inputs, made.samples)) - 10 * ability
    l1 = 0.12 - 0.02 * ability + 0.01 * rng.random((made.inputs, made.samples))
    nll = np.round(4.4 - ability + inputs + 0.05 * rng.standard_normal(made.inputs), 4)
    gap = np.round(0.15 + 0.2 * ability + 0.02 * rng.standard_normal(made.inputs), 4)
    diversity = np.full(made.inputs, round(0.36 + 0.01 * rng.standard_normal(), 4))
    names = [f"{n:05d}" for n in range(made.inputs)]
    kept = ranks[np.arange(made.inputs), distances.argmin(1)]
    editor: dict[str, Any] = {"key": "editor", "system": "Editor", "n": made.inputs}
    for k in (1, 5, 10, 20):
        editor[f"recall_{k}"] = float((ranks <= k).mean())
        editor[f"recall_{k}_kept"] = float((kept <= k).mean())
    editor |= {"l1_real": float(l1.mean()), "l1_rec": float(l1.mean()) / 2}
    editor |= {"outside_ratio": float(l1.mean()) / 0.1, "diversity": float(diversity.mean()) / 2}
    editor |= {"diversity_region": float(diversity.mean()), "samples": made.samples}
    for name, scale in (
        ("frechet", 1300),
        ("frechet_region", 2200),
        ("kernel", 3),
        ("kernel_region", 5),
    ):
        natural = ability if made.naturalness is None else made.naturalness
        editor[name] = scale * (1 - 0.3 * natural) + scale / 50 * rng.standard_normal()
    paste = {**editor, "key": "paste", "recall_5": 1.0, "frechet_region": 1300.0}
    misled = {**editor, "key": "editor_swapped", "system": "Editor, another driver"}
    means = {"right_inside": nll.mean(), "swapped_inside": (nll + gap).mean(), "gap": gap.mean()}
    found = {
        "about": _about(made),
        "systems": [editor, misled, paste],
        "nll": {name: {"mean": float(mean), "margin": 0.1} for name, mean in means.items()},
    }
    (folder / "metrics.json").write_text(json.dumps(found))
    _write_csv(folder / "samples.csv", [
        {"system": system, "input": name, "sample": s, "driver_rank": int(ranks[n, s]),
         "driver_distance": distances[n, s], "l1_real": l1[n, s], "l1_rec": l1[n, s] / 2}
        for system in ("editor", "paste") for n, name in enumerate(names)
        for s in range(made.samples)
    ])  # fmt: skip
    _write_csv(folder / "inputs.csv", [
        {"input": name, "source": f"val-{n}", "driver": f"val-{n + 1}", "nll_right_inside": nll[n],
         "nll_right_outside": 5.0, "nll_swapped_inside": nll[n] + gap[n],
         "nll_swapped_outside": 5.0, "diversity": diversity[n] / 2,
         "diversity_region": diversity[n]}
        for n, name in enumerate(names)
    ])  # fmt: skip
    if made.format == FORMAT:
        _rewrite_results(folder, made)
    write_samples(folder / "samples" / "inputs", made, ability, rng)


def _rewrite_results(folder: Path, made: Made) -> None:
    """Results of format 1 in today's format, with the metrics of another package."""
    results = read_results(folder)
    foreign = {info.key: value for info, value in made.foreign.items()}
    systems = [
        {"key": key, "name": key, "explanation": "", "values": {**values, **foreign}, "margins": {}}
        for key, values in results.systems.items()
    ]
    metrics = [asdict(info) for info in (*results.infos, *made.foreign)]
    found = {"format": FORMAT, "about": results.about, "metrics": metrics, "systems": systems}
    names = {"source": "a.png", "driver": "b.png"}
    rows = [{"system": "editor", "input": n, **names, **v} for n, v in results.per_input.items()]
    (folder / METRICS).write_text(json.dumps(found))
    _write_csv(folder / INPUTS, rows)


def write_samples(folder: Path, made: Made, ability: float, rng: np.random.Generator) -> None:
    """The pasted driver, the more blurred the less able."""
    folder.mkdir(parents=True)
    for n in range(made.saved):
        source, box, driver = given(n, made.side)
        strip = []
        for _ in range(made.samples):
            image = source.copy()
            blur = max(0.3, 4 - 6 * ability + rng.random())
            shown = cv2.GaussianBlur(driver, (0, 0), blur)
            box.crop(image)[:] = cv2.resize(shown, (box.width, box.height))
            strip.append(image)
        Image.fromarray(np.concatenate(strip, axis=1)).save(folder / f"{n:05d}.png")


def write_validation_set(folder: Path, made: Made) -> None:
    for name in ("sources", "regions", "drivers"):
        (folder / name).mkdir(parents=True)
    for n in range(made.saved):
        source, box, driver = given(n, made.side)
        region = np.where(box.mask(made.side, made.side), 255, 0).astype(np.uint8)
        for name, image in (("sources", source), ("regions", region), ("drivers", driver)):
            Image.fromarray(image).save(folder / name / f"{n:05d}.png")
    (folder / "manifest.json").write_text(json.dumps({"content_hash": made.validation_hash}))


@cache
def given(n: int, side: int) -> tuple[np.ndarray, Box, np.ndarray]:
    """Source, region and driver of an input."""
    faces = ToyFaces("val", side, 100)
    left = side // 8 * (1 + n % 3)
    box = Box(left, left, left + side // 2, left + side // 2)
    driver = cv2.resize(box.crop(faces[n + 50]), (side // 2, side // 2))
    return faces[n], box, driver


def sweep(
    folder: Path,
    factors: Mapping[str, Sequence[str]],
    seeds: Sequence[int] = (0, 1, 2),
    **made: Any,
) -> Path:
    """A run for each combination of choices and each seed; later choices are more able."""
    combinations: list[dict[str, str]] = [{}]
    for name, values in factors.items():
        combinations = [{**before, name: value} for before in combinations for value in values]
    for number, choices in enumerate(combinations):
        for seed in seeds:
            run = Made(choices, seed, skill=0.1 * number, **made)
            write_run(folder / f"{number}_{seed}", run)
    return folder


def _about(made: Made) -> dict[str, Any]:
    return {
        "validation_set": "made_up",
        "validation_hash": made.validation_hash,
        "inputs": made.inputs,
        "references": 500,
        "distractors": 100,
        "extractor": EXTRACTOR,
        "frechet_name": "Fréchet distance (EfficientNet-Lite0)",
        "retrieval": f"{EXTRACTOR}_maps",
        "perceptual": EXTRACTOR,
        "num_samples": made.samples,
        "seed": 0,
        "sampling": {"temperature": 1.0, "top_k": None, "top_p": 0.9},
    }


def _write_config(folder: Path, made: Made) -> None:
    config: dict[str, Any] = {
        "task": made.task,
        "name": folder.name,
        "run_dir": str(folder),
        "seed": made.seed,
        "trainer": {"max_steps": 1000},
        "transformer": {"layers": 4, "width": 128},
        "tokenizer": {"source": "package:toyfaces_source"},
        "evaluation": {"validation_set": None},
    }
    for group, choice in made.choices.items():
        config[group] = {**config.get(group, {}), "of": f"{group} {choice}"}
    changes = [f"{name}={value}" for name, value in made.overrides.items()]
    merged = OmegaConf.merge(config, OmegaConf.from_dotlist(changes))
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(merged))
    given = {**made.choices, **made.overrides, "seed": made.seed, "run_dir": folder}
    hydra = {
        "overrides": {"task": [f"{name}={value}" for name, value in given.items()]},
        "runtime": {"choices": {**made.choices, "hydra/launcher": "basic"}},
    }
    (folder / ".hydra").mkdir()
    (folder / ".hydra/hydra.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))


def _write_curves(path: Path, made: Made, rng: np.random.Generator) -> None:
    last = 1000 if made.state == "done" else 430
    _write_csv(path, [
        {"step": step, "train/loss": 2 + 5 * np.exp(-step / 200) + 0.1 * rng.random(),
         "val/loss": 2.1 + 5 * np.exp(-step / 200) - made.skill / 4 if step % 250 == 249 else ""}
        for step in range(9, last, 10)
    ])  # fmt: skip


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

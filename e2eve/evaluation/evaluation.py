"""What an evaluation found: its numbers, its files, and the image of samples."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from e2eve.editing.compositing import put_back
from e2eve.evaluation.results import (
    FORMAT,
    GROUPS,
    INPUTS,
    METRICS,
    PICTURE,
    SAMPLES,
    SAMPLES_FOLDER,
    SHOWN_FOLDER,
    Results,
)
from e2eve.evaluation.systems import paste, systems_of
from e2eve.evaluation.validation import ValidationSet
from e2eve.metrics.base import EditMetric, Interval, margin
from e2eve.reporting.grid import image_grid, outlined

# Metrics with what they have measured, by system and key.
Measured = Mapping[str, Mapping[str, EditMetric]]


@dataclass(frozen=True)
class Evaluation:
    """
    Args:
        images: the editor's samples of the first inputs, in drawing order.
    """

    results: Results
    images: UInt8[Tensor, "first samples side side 3"]
    validation: ValidationSet

    @classmethod
    def of(
        cls,
        measured: Measured,
        images: UInt8[Tensor, "first samples side side 3"],
        validation: ValidationSet,
        about: dict[str, Any],
    ) -> "Evaluation":
        """What the metrics have measured, added up."""
        values, margins = {}, {}
        for system, metrics in measured.items():
            values[system] = _finite({key: metric.compute() for key, metric in metrics.items()})
            single = {key: metric.per_input() for key, metric in metrics.items()}
            widths = {key: margin(found) for key, found in single.items() if found is not None}
            margins[system] = _finite(widths)
        found = {key for row in values.values() for key in row}
        infos = tuple(m.info for key, m in measured["editor"].items() if key in found)
        tables = {name: _table(measured, validation, name) for name in (SAMPLES, INPUTS)}
        if names := list(_groups(validation)):
            tables[GROUPS] = _by_group(tables[INPUTS], names, [info.key for info in infos])
        return cls(Results(Path(), about, infos, values, margins, tables), images, validation)

    def rows(self) -> list[dict[str, Any]]:
        """One row a system, for tables; undefined values are None."""
        keys, values = [info.key for info in self.results.infos], self.results.systems
        return [
            {"key": s.key, "system": s.name, **{key: values[s.key].get(key) for key in keys}}
            for s in systems_of(self.validation)
        ]

    @cached_property
    def shown(self) -> UInt8[np.ndarray, "first samples side side 3"]:
        """The images put back into their sources, as a person gets them."""
        given = (self.validation.sources, self.validation.regions, self.images.numpy())
        first = zip(*given, strict=False)  # images are of the first inputs alone
        return np.stack([put_back(*one) for one in first])

    def worst(self, count: int) -> list[int]:
        """Those of the inputs with images whose best sample is farthest from its driver."""
        inputs = self.validation.inputs[: len(self.images)]
        rows = [self.results.samples[item.id] for item in inputs]
        nearest = [min(row["driver_distance"] for row in samples) for samples in rows]
        return [int(n) for n in np.argsort(nearest, kind="stable")[::-1][:count]]

    def picture(
        self, cell: int = 128, inputs: Sequence[int] | None = None, raw: bool = False
    ) -> Image.Image:
        """Inputs in rows: source with region, driver, paste, the answer where there is one, then
        samples, best first.

        Args:
            inputs: their numbers; None: the first ones.
            raw: samples as they were drawn, not put back into the source.
        """
        validation, answers, rows, captions = self.validation, self.validation.answers, [], []
        samples_of = self.images.numpy() if raw else self.shown
        if inputs is None:
            inputs = range(min(self.results.about["shown"], len(validation)))
        chosen = list(inputs)
        pastes = paste(
            validation.sources[chosen],
            validation.regions[chosen],
            [validation.region_boxes[n] for n in chosen],
            [validation.patch(n) for n in chosen],
        )
        for n, pasted in zip(chosen, pastes, strict=True):
            item = validation.inputs[n]
            distances = [row["driver_distance"] for row in self.results.samples[item.id]]
            order = np.argsort(distances, kind="stable")
            source = outlined(validation.sources[n], validation.regions[n])
            answer = [] if answers is None else [answers.images[n]]
            given = [source, validation.drivers[n], pasted, *answer]
            rows.append([*given, *samples_of[n][order]])
            captions.append([None] * len(given) + [f"{distances[i]:.2f}" for i in order])
        headings = ["source, region", "driver", "paste", *["answer"][: len(answer)], "best sample"]
        headings += [str(rank) for rank in range(2, self.images.shape[1] + 1)]
        return image_grid(rows, headings, cell=cell, captions=captions)

    def save(self, folder: str | Path) -> Path:
        """Writes metrics.json, samples.png, samples.csv, inputs.csv, samples/inputs/ID.png and
        samples/shown/ID.png, and groups.csv where inputs are told apart.

        Each ID.png holds an input's samples side by side, in drawing order, without loss.
        Returns the folder.
        """
        results, saved = self.results, self.results.about["saved"]
        strips = {
            Path(folder) / SAMPLES_FOLDER: self.images[:saved].numpy(),
            Path(folder) / SHOWN_FOLDER: self.shown[:saved],
        }
        for place in strips:
            place.mkdir(parents=True, exist_ok=True)
        keys = [info.key for info in results.infos]
        found = {
            "format": FORMAT,
            "about": results.about,
            "metrics": [asdict(info) for info in results.infos],
            "systems": [
                {
                    "key": system.key,
                    "name": system.name,
                    "values": {key: results.systems[system.key].get(key) for key in keys},
                    "margins": results.margins[system.key],
                }
                for system in systems_of(self.validation)
            ],
        }
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        Path(folder, METRICS).write_text(text + "\n", encoding="utf-8")
        self.picture().save(Path(folder, PICTURE))
        if Path(folder, INPUTS).exists():  # of an earlier evaluation, perhaps of more inputs
            drawn = set(pandas.read_csv(Path(folder, INPUTS), dtype=str)["input"])
            for old in (path for place in strips for path in place.glob("*.png")):
                if old.stem in drawn:
                    old.unlink()
        Path(folder, GROUPS).unlink(missing_ok=True)
        for name, table in results.tables.items():
            table.to_csv(Path(folder, name), index=False, float_format="%.9g")
        for place, images in strips.items():
            for item, samples in zip(self.validation.inputs, images, strict=False):
                strip = rearrange(samples, "samples h w c -> h (samples w) c")
                Image.fromarray(strip).save(place / f"{item.id}.png")
        return Path(folder)


def _finite(row: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if math.isfinite(value)}


# samples.csv with the metrics of single samples, or inputs.csv with the means of an input.
def _table(measured: Measured, validation: ValidationSet, name: str) -> pandas.DataFrame:
    inputs, frames = validation.inputs, []
    for system, metrics in measured.items():
        if name == SAMPLES:
            found = {k: m.measured() for k, m in metrics.items() if m.per == "sample"}
        else:
            found = {k: m.per_input() for k, m in metrics.items()}
        columns = {key: v.flatten().numpy() for key, v in found.items() if v is not None}
        count = len(columns["driver_distance"]) // len(inputs)
        names: dict[str, Any] = {"input": np.repeat([item.id for item in inputs], count)}
        if name == SAMPLES:
            names["sample"] = np.tile(range(count), len(inputs))
        else:
            names["source"] = [item.source for item in inputs]
            names["driver"] = [item.driver for item in inputs]
            names |= _groups(validation)
        frames.append(pandas.DataFrame({"system": system, **names, **columns}))
    return pandas.concat(frames, ignore_index=True)


# The kind of each input, by what inputs are told apart by.
def _groups(validation: ValidationSet) -> dict[str, list[str]]:
    names = dict.fromkeys(name for item in validation.inputs for name in item.groups)
    return {name: [item.groups.get(name, "") for item in validation.inputs] for name in names}


# Means of all inputs (`group` and `kind` are then "all") and of each kind, and their intervals.
def _by_group(inputs: pandas.DataFrame, names: list[str], keys: list[str]) -> pandas.DataFrame:
    rows = []
    for name in ("all", *names):
        by = inputs.groupby(["system", inputs.get(name, lambda _: "all")], sort=False)
        for (system, kind), part in by:
            for key in [key for key in keys if key in part and part[key].notna().any()]:
                found = Interval.of(torch.tensor(part[key].to_numpy()))
                count = int(part[key].notna().sum())
                rows.append((system, name, kind, key, *found, count))
    columns = ["system", "group", "kind", "metric", *Interval._fields, "inputs"]
    return pandas.DataFrame(rows, columns=columns)

"""What an evaluation found: rows for tables, files, and the picture of samples."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from e2eve.evaluation.baselines import paste
from e2eve.evaluation.files import INPUTS, METRICS, PICTURE, SAMPLES, SAMPLES_FOLDER
from e2eve.evaluation.likelihood import PairedNLL
from e2eve.evaluation.measuring import Measurements
from e2eve.evaluation.systems import EvaluationSettings, System
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.reporting.grid import outlined, picture_grid


class SystemResult(NamedTuple):
    system: System
    found: Measurements
    metrics: dict[str, float]


class FirstSamples(NamedTuple):
    """Samples of the editor for the first inputs, in drawing order."""

    pictures: tuple[UInt8[np.ndarray, "samples side side 3"], ...]
    distances: Float[Tensor, "first samples"]


class Estimate(NamedTuple):
    """A mean over inputs, and half the width of its 95 % interval (normal approximation)."""

    mean: float
    margin: float


@dataclass(frozen=True)
class Evaluation:
    systems: tuple[SystemResult, ...]
    nll: PairedNLL
    first: FirstSamples
    validation: ValidationSet
    settings: EvaluationSettings
    swap: int
    extractor: str
    frechet_name: str
    perceptual: str | None
    seconds: float

    def __getitem__(self, key: str) -> dict[str, float]:
        """Metrics of one system."""
        return {result.system.key: result.metrics for result in self.systems}[key]

    def rows(self) -> list[dict[str, Any]]:
        """One row a system, for tables; undefined numbers are None.

        `outside_ratio` is the change outside the region in units of the tokenizer's own error.
        """
        own = self["reconstruction"]["l1_real"]
        rows = []
        for result in self.systems:
            values = {"outside_ratio": result.metrics["l1_real"] / own if own else math.nan}
            values |= result.metrics
            clean = {k: v if math.isfinite(v) else None for k, v in values.items()}
            rows.append({"key": result.system.key, "system": result.system.name, **clean})
        return rows

    def flat(self) -> dict[str, float]:
        """`system/metric` → value, for logs; undefined numbers are left out."""
        values = {
            f"{row['key']}/{name}": value
            for row in self.rows()
            for name, value in row.items()
            if name not in ("key", "system", "n", "samples") and value is not None
        }
        means = {f"nll/{name}": estimate(v).mean for name, v in self.nll._asdict().items()}
        means["nll/gap"] = estimate(self.nll.gap).mean
        return values | {name: value for name, value in means.items() if math.isfinite(value)}

    def recall_difference(self, k: int) -> Estimate:
        """R@k with the right driver less that with a swapped one, over inputs."""
        right, swapped = (
            (result.found.ranks <= k).double().mean(1)
            for result in self.systems
            if result.system.key in ("editor", "editor_swapped")
        )
        return estimate(right - swapped)

    def about(self) -> dict[str, Any]:
        """What was measured with what."""
        validation = self.validation
        return {
            "validation_set": validation.name,
            "validation_hash": validation.content_hash,
            "inputs": len(validation),
            "references": len(validation.features.whole),
            "distractors": validation.features.distractors.shape[1],
            "extractor": self.extractor,
            "frechet_name": self.frechet_name,
            "retrieval": validation.retrieval,
            "perceptual": self.perceptual,
            "swapped_by": self.swap,
            "seconds": round(self.seconds, 1),
            **asdict(self.settings),
        }

    @property
    def count_shown(self) -> int:
        """Inputs in the picture of samples."""
        return min(self.settings.shown, len(self.validation))

    def picture(self, cell: int = 128) -> Image.Image:
        """The first inputs: source with region, driver, paste, then samples, best first."""
        validation, first, count = self.validation, self.first, self.count_shown
        pastes = paste(
            validation.sources[:count],
            validation.regions[:count],
            validation.region_boxes[:count],
            validation.drivers[:count],
        )
        rows, captions = [], []
        for n, (pictures, distances) in enumerate(
            zip(first.pictures[:count], first.distances[:count], strict=True)
        ):
            order = distances.argsort(stable=True).tolist()
            source = outlined(validation.sources[n], validation.regions[n])
            rows.append([source, validation.drivers[n], pastes[n], *(pictures[i] for i in order)])
            captions.append([None] * 3 + [f"{distances[i]:.2f}" for i in order])
        samples = first.distances.shape[1]
        headings = ["source, region", "driver", "paste", "best sample"]
        headings += [str(rank) for rank in range(2, samples + 1)]
        return picture_grid(rows, headings, cell=cell, captions=captions)

    def save(self, folder: str | Path) -> Path:
        """Writes metrics.json, samples.png, samples.csv, inputs.csv and samples/inputs/ID.png.

        Each of the latter holds an input's samples side by side, in drawing order, without loss.
        Returns the folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        found = {"about": self.about(), "systems": self.rows(), "nll": self._nll_means()}
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / METRICS).write_text(text + "\n", encoding="utf-8")
        self.picture().save(folder / PICTURE)
        self._save_samples(folder / SAMPLES_FOLDER)
        write_csv(folder / SAMPLES, self.sample_rows())
        write_csv(folder / INPUTS, self.input_rows())
        return folder

    def _save_samples(self, folder: Path) -> None:
        """In place of those that an earlier evaluation left there."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        saved = self.first.pictures[: self.settings.saved]
        for item, pictures in zip(self.validation.inputs, saved, strict=False):
            strip = rearrange(pictures, "samples h w c -> h (samples w) c")
            Image.fromarray(strip).save(folder / f"{item.id}.png")

    def _nll_means(self) -> dict[str, dict[str, float] | None]:
        columns = {**self.nll._asdict(), "gap": self.nll.gap}
        estimates = {name: estimate(values) for name, values in columns.items()}
        return {
            name: value._asdict() if all(map(math.isfinite, value)) else None
            for name, value in estimates.items()
        }

    def sample_rows(self) -> Iterator[dict[str, Any]]:
        """One row for each system, input and sample."""
        for system, found, _ in self.systems:
            for n, item in enumerate(self.validation.inputs):
                for sample in range(found.ranks.shape[1]):
                    yield {
                        "system": system.key,
                        "input": item.id,
                        "sample": sample,
                        "driver_rank": int(found.ranks[n, sample]),
                        "driver_distance": float(found.distances[n, sample]),
                        "l1_real": float(found.l1_real[n, sample]),
                        "l1_rec": float(found.l1_rec[n, sample]),
                    }

    def input_rows(self) -> Iterator[dict[str, Any]]:
        """One row for each input: its pictures, likelihoods, and the editor's diversity."""
        editor = self.systems[0].found
        for n, item in enumerate(self.validation.inputs):
            yield {
                "input": item.id,
                "source": item.source,
                "driver": item.driver,
                **{f"nll_{name}": float(v[n]) for name, v in self.nll._asdict().items()},
                "diversity": float(editor.diversity[n]),
                "diversity_region": float(editor.diversity_region[n]),
            }


def estimate(values: Float[Tensor, " inputs"]) -> Estimate:
    """Undefined values are left out; without any, or a single one, the margin is not a number."""
    defined = values[values.isfinite()].double()
    if not len(defined):
        return Estimate(math.nan, math.nan)
    spread = defined.std(correction=1).item() if len(defined) > 1 else math.nan
    return Estimate(defined.mean().item(), 1.96 * spread / len(defined) ** 0.5)


def write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)

"""What an evaluation found: rows for tables, files, and the image of samples."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from e2eve.evaluation.baselines import paste
from e2eve.evaluation.results import FORMAT, INPUTS, METRICS, PICTURE, SAMPLES, SAMPLES_FOLDER
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.systems import System
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.metrics.base import EditMetric, Estimate, estimate
from e2eve.metrics.batch import MetricNetworks
from e2eve.metrics.info import MetricInfo
from e2eve.reporting.grid import outlined, picture_grid
from e2eve.transformer import SamplingSettings


class SystemResult(NamedTuple):
    """A system and the metrics that have measured it, by key."""

    system: System
    metrics: Mapping[str, EditMetric]

    @property
    def values(self) -> dict[str, float]:
        """Of the metrics that are defined for it; NaN where none of its inputs has a value."""
        return {key: metric.compute() for key, metric in self.metrics.items() if metric.is_defined}


@dataclass(frozen=True)
class Evaluation:
    """
    Args:
        samples: the editor's samples of the first inputs, in drawing order.
        shift: by how many inputs drivers are shifted to be mismatched.
    """

    results: tuple[SystemResult, ...]
    samples: UInt8[Tensor, "first samples side side 3"]
    validation: ValidationSet
    networks: MetricNetworks
    settings: DrawingSettings
    sampling: SamplingSettings
    shift: int
    seconds: float

    def __getitem__(self, key: str) -> dict[str, float]:
        """Values of one system."""
        return self.system(key).values

    def system(self, key: str) -> SystemResult:
        return {result.system.key: result for result in self.results}[key]

    @property
    def infos(self) -> list[MetricInfo]:
        """Of each metric that is defined for some system."""
        return [
            metric.info
            for key, metric in self.results[0].metrics.items()
            if any(result.metrics[key].is_defined for result in self.results)
        ]

    def per_input(self, system: str, key: str) -> Float[Tensor, " inputs"] | None:
        """Values of one metric; None where it is not measured, or of whole sets."""
        metric = self.system(system).metrics.get(key)
        return None if metric is None else metric.per_input()

    def estimate(self, system: str, key: str) -> Estimate:
        """Mean and interval over inputs; NaN where the metric has no values of single inputs."""
        values = self.per_input(system, key)
        return Estimate(math.nan, math.nan) if values is None else estimate(values)

    def rows(self) -> list[dict[str, Any]]:
        """One row a system, for tables; undefined values are None."""
        keys = [info.key for info in self.infos]
        rows = []
        for result in self.results:
            values = result.values
            clean = {key: _finite(values.get(key, math.nan)) for key in keys}
            drawn = 1 if result.system.drivers is None else self.settings.num_samples
            system = {"key": result.system.key, "system": result.system.name}
            rows.append({**system, "n": len(self.validation), "samples": drawn, **clean})
        return rows

    def flat(self) -> dict[str, float]:
        """`system/metric` → value, for logs; undefined values are left out."""
        return {
            f"{result.system.key}/{key}": value
            for result in self.results
            for key, value in result.values.items()
            if math.isfinite(value)
        }

    def about(self) -> dict[str, Any]:
        """What was measured with what."""
        validation, (extractor, _, perceptual) = self.validation, self.networks
        return {
            "validation_set": validation.name,
            "validation_hash": validation.content_hash,
            "inputs": len(validation),
            "references": len(validation.features.whole),
            "distractors": validation.features.distractors.shape[1],
            "extractor": extractor.name,
            "frechet_name": extractor.frechet_name,
            "retrieval": validation.retrieval,
            "perceptual": perceptual.name if perceptual is not None else None,
            "mismatched_by": self.shift,
            "seconds": round(self.seconds, 1),
            **asdict(self.settings),
            "sampling": asdict(self.sampling),
        }

    @property
    def count_shown(self) -> int:
        """Inputs in the image of samples."""
        return min(self.settings.shown, len(self.validation))

    def picture(self, cell: int = 128) -> Image.Image:
        """The first inputs: source with region, driver, paste, then samples, best first."""
        validation, count = self.validation, self.count_shown
        pastes = paste(
            validation.sources[:count],
            validation.regions[:count],
            validation.region_boxes[:count],
            validation.drivers[:count],
        )
        distances = self.system("editor").metrics["driver_distance"].measured()
        assert distances is not None  # which every evaluation measures
        rows, captions = [], []
        for n, samples in enumerate(self.samples[:count].numpy()):
            order = distances[n].argsort(stable=True).tolist()
            source = outlined(validation.sources[n], validation.regions[n])
            rows.append([source, validation.drivers[n], pastes[n], *(samples[i] for i in order)])
            captions.append([None] * 3 + [f"{distances[n, i]:.2f}" for i in order])
        headings = ["source, region", "driver", "paste", "best sample"]
        headings += [str(rank) for rank in range(2, distances.shape[1] + 1)]
        return picture_grid(rows, headings, cell=cell, captions=captions)

    def save(self, folder: str | Path) -> Path:
        """Writes metrics.json, samples.png, samples.csv, inputs.csv and samples/inputs/ID.png.

        Each of the latter holds an input's samples side by side, in drawing order, without loss.
        Returns the folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.content(), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / METRICS).write_text(text + "\n", encoding="utf-8")
        self.picture().save(folder / PICTURE)
        self._save_samples(folder / SAMPLES_FOLDER)
        _write_csv(folder / SAMPLES, self.sample_rows())
        _write_csv(folder / INPUTS, self.input_rows())
        return folder

    def content(self) -> dict[str, Any]:
        """metrics.json of format 2; undefined values are null."""
        infos = self.infos
        systems = []
        for result in self.results:
            row = result.values
            estimates = {i.key: self.estimate(result.system.key, i.key) for i in infos}
            systems.append(
                {
                    "key": result.system.key,
                    "name": result.system.name,
                    "explanation": result.system.explanation,
                    "values": {i.key: _finite(row.get(i.key, math.nan)) for i in infos},
                    "margins": {key: _finite(value.margin) for key, value in estimates.items()},
                }
            )
        metrics = [asdict(info) for info in infos]
        return {"format": FORMAT, "about": self.about(), "metrics": metrics, "systems": systems}

    def _save_samples(self, folder: Path) -> None:
        """In place of those that an earlier evaluation left there."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        saved = self.samples[: self.settings.saved].numpy()
        for item, samples in zip(self.validation.inputs, saved, strict=False):
            strip = rearrange(samples, "samples h w c -> h (samples w) c")
            Image.fromarray(strip).save(folder / f"{item.id}.png")

    def sample_rows(self) -> Iterator[dict[str, Any]]:
        """One row for each system, input and sample, with the metrics of single samples."""
        for system, metrics in self.results:
            tables = {key: m.measured() for key, m in metrics.items() if m.per == "sample"}
            found = {key: table for key, table in tables.items() if table is not None}
            count = found["driver_distance"].shape[1]
            for n, item in enumerate(self.validation.inputs):
                for sample in range(count):
                    values = {key: table[n, sample].item() for key, table in found.items()}
                    yield {"system": system.key, "input": item.id, "sample": sample, **values}

    def input_rows(self) -> Iterator[dict[str, Any]]:
        """One row for each system and input: its images, metrics of samples (means) and inputs."""
        for system, metrics in self.results:
            found = {key: metric.per_input() for key, metric in metrics.items()}
            for n, item in enumerate(self.validation.inputs):
                values = {key: v[n].item() for key, v in found.items() if v is not None}
                names = {"input": item.id, "source": item.source, "driver": item.driver}
                yield {"system": system.key, **names, **values}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Undefined values are empty."""
    pandas.DataFrame(rows).to_csv(path, index=False, float_format="%.9g", lineterminator="\r\n")

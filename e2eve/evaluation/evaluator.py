"""Evaluates an editor on a validation set, next to what needs no editor."""

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from omegaconf import OmegaConf
from torch import Tensor, distributed

from e2eve.checks import all_of
from e2eve.config import about, conf_dir, instantiate_all, plain
from e2eve.data.images import to_uint8
from e2eve.data.splits import Images
from e2eve.edit_simulation import EditSimulation
from e2eve.editor import Editor
from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.report import write_report
from e2eve.evaluation.settings import (
    DrawingSettings,
    EvaluationSettings,
    check_counts,
    check_numbers,
    check_validation_set,
)
from e2eve.evaluation.systems import (
    evaluated_batches,
    input_batch,
    mismatch_shift,
    systems_of,
    try_metrics,
)
from e2eve.evaluation.validation import ValidationSet, prepared
from e2eve.evaluation.validation_building import build_validation_set
from e2eve.features import (
    FeatureExtractor,
    PerceptualDistance,
    PooledMaps,
    build_extractor,
    build_perceptual,
    features_of,
)
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo, MetricNetworks
from e2eve.metrics.recall import DriverDistance
from e2eve.reporting.progress import Report, progress_bars, silent
from e2eve.transformer import SamplingSettings

log = logging.getLogger(__name__)

# Largest relative difference at which features count as those of the same network.
SAME_FEATURES = 1e-2

# Images whose features are compared before an evaluation.
CHECKED = 8


class Evaluator:
    """Evaluates editors on one validation set, which is built on first use.

    Args:
        sampling: how edits are drawn, such as the config's node `sampling`.
        images: the validation split.
        simulation: of the editor's training, for a validation set that has to be built.
        folder: where results go, and a validation set that the settings do not name.
        name: of a validation set that is built.
        metrics: what is measured; None: `standard_metrics`.

    Raises:
        ValueError: when the validation set that the settings name is not there, or there are too
            few images for one.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        sampling: SamplingSettings | Mapping[str, Any],
        images: Images,
        simulation: EditSimulation,
        folder: str | Path,
        name: str,
        metrics: Sequence[EditMetric] | None = None,
    ) -> None:
        self.settings, self.sampling, self.metrics = settings, sampling, metrics
        self.images, self.simulation = images, simulation
        self.folder, self.name = Path(folder), name
        if settings.validation_set:
            with about("evaluation.validation_set"):
                check_validation_set(settings.validation_set)
        elif not (self.folder / "validation_set" / "manifest.json").exists():
            check_counts(len(images), settings.num_inputs, settings.num_distractors)
        given = "perceptual_weights" if settings.perceptual_weights else "perceptual"
        with about(f"evaluation.{given}"):
            self.perceptual = build_perceptual(settings.perceptual, settings.perceptual_weights)

    def prepare(self, editor: Editor) -> None:
        """Builds or opens the validation set, and checks that the editor can be evaluated on it.

        Raises:
            ValueError: when there are too few images for it, it was changed, it was made for other
                sizes, features or numbers of inputs, the editor's token model does not take the
                sampling settings, two metrics have one key, or one fails.
        """
        given = self.sampling if isinstance(self.sampling, Mapping) else {}
        with about("sampling", given):
            editor.settings(self.sampling)
        networks = networks_for(editor, self.validation, self.extractor, self.perceptual)
        try_metrics(by_key(self.metrics), self.validation, networks)
        log.info("Validation set: sha256 %s…", self.validation.content_hash[:16])

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """The one that the validation set was built with."""
        return build_extractor(
            self.validation.manifest["extractor"], self.settings.extractor_weights
        )

    @cached_property
    def validation(self) -> ValidationSet:
        settings, folder = self.settings, self.folder / "validation_set"
        if settings.validation_set:
            return ValidationSet.load(settings.validation_set)
        references = min(settings.num_references, len(self.images))
        if (folder / "manifest.json").exists():
            names = ["num_inputs", "num_distractors", "seed"]
            if references < len(self.images):  # else fewer, where some are damaged
                names.append("num_references")
            check_numbers(folder, {name: getattr(settings, name) for name in names})
            return ValidationSet.load(folder)
        with progress_bars() as report:
            built = build_validation_set(
                self.images,
                self.simulation,
                build_extractor(settings.extractor, settings.extractor_weights),
                self.perceptual,
                num_inputs=settings.num_inputs,
                num_references=references,
                num_distractors=settings.num_distractors,
                seed=settings.seed,
                name=self.name,
                progress=report,
            )
        built.save(folder)
        return built

    @cached_property
    def group(self) -> Any:
        """All processes of a run, over the CPU, who ask for it together; None for one alone."""
        return distributed.new_group(backend="gloo") if distributed.is_initialized() else None

    def __call__(self, editor: Editor) -> Evaluation | None:
        """By all processes of a run together; None but in the first one."""
        was_training, is_first = editor.training, self.group is None or self.group.rank() == 0
        with progress_bars() as report:
            found = evaluate(
                editor.eval(),
                self.validation,
                self.extractor.to(editor.device),
                self.perceptual and self.perceptual.to(editor.device),
                settings=self.settings,
                sampling=self.sampling,
                metrics=self.metrics,
                group=self.group,
                progress=report if is_first else silent,
            )
        editor.train(was_training)
        return found if is_first else None

    def report(self, editor: Editor, *, title: str, config: str | None = None) -> Evaluation | None:
        """Evaluates, and writes metrics.json, samples and report.html into the folder.

        Args:
            title: of the report.
            config: the run's configuration as YAML, shown in the report.
        """
        found = self(editor)
        if found is not None:
            found.save(self.folder)
            page, curves = self.folder / "report.html", self.folder / "metrics.csv"
            write_report(page, found, title=title, curves=curves, config=config)
        return found


def build_metrics(nodes: Mapping[str, Any]) -> list[EditMetric]:
    """The metrics of the config's group `metrics`.

    Raises:
        ValueError: when one cannot be built or is no metric, or two have one key.
    """
    metrics = all_of(EditMetric, instantiate_all(nodes, "metrics"), "metrics")
    names = dict[str, str]()
    for name, metric in zip(filter(nodes.get, nodes), metrics, strict=True):
        if (first := names.setdefault(metric.info.key, name)) != name:
            settings = (f"metrics.{name}.{k}={v}" for k, v in nodes[name].items() if k[0] != "_")
            raise ValueError(
                f'metrics.{first} and metrics.{name} both have the key "{metric.info.key}" '
                f"({', '.join(settings)}): leave one out, as metrics.{name}=null."
            )
    return metrics


def standard_metrics() -> list[EditMetric]:
    """What the file metrics/standard.yaml of the configuration lists."""
    return build_metrics(plain(OmegaConf.load(Path(conf_dir(), "metrics", "standard.yaml"))))


@torch.no_grad()
def evaluate(
    editor: Editor,
    validation: ValidationSet,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
    *,
    settings: DrawingSettings,
    sampling: SamplingSettings | Mapping[str, Any] | None = None,
    metrics: Sequence[EditMetric] | None = None,
    group: Any = None,
    progress: Report = silent,
) -> Evaluation:
    """Draws samples and measures them.

    Several processes share the work and all get the whole evaluation. Each measures whole batches,
    which are the same however many processes there are as long as there is one for each.

    Args:
        extractor: the one that the validation set was built with, on the editor's device.
        perceptual: for the diversity, which is left out without it, and for R@k where the
            validation set was built with it; else R@k takes the network that the set names.
        sampling: None: as the editor's token model does by itself.
        metrics: None: `standard_metrics`. The distance to the driver, by which samples are
            ordered, is always measured.
        group: of the processes that share the work, over the CPU; None for one process.

    Raises:
        ValueError: when editor, networks and validation set don't fit, two metrics have one key, or
            one fails.
    """
    began, drawing = time.monotonic(), editor.settings(sampling)
    networks = networks_for(editor, validation, extractor, perceptual)
    try_metrics(by_key(metrics), validation, networks)
    measured = {system.key: by_key(metrics) for system in systems_of(validation)}
    images = FirstSamples(max(settings.shown, settings.saved))
    shift = mismatch_shift(validation)
    rank, count = (0, 1) if group is None else (group.rank(), group.size())
    batches = own_batches(len(validation), settings.batch_size, rank, count)
    progress("batches measured", 0, len(batches))
    for done, rows in enumerate(batches, 1):
        inputs = input_batch(validation, rows, shift, editor.device)
        for key, batch in evaluated_batches(
            editor,
            inputs,
            validation,
            networks,
            num_samples=settings.num_samples,
            seed=settings.seed,
            sampling=drawing,
        ):
            for metric in [*measured[key].values(), *([images] if key == "editor" else [])]:
                metric.update(batch)
        progress("batches measured", done, len(batches))
    for metric in [images, *(m for found in measured.values() for m in found.values())]:
        if group is not None:
            metric.gather(group)
    about = {
        "validation_set": validation.name,
        "validation_hash": validation.content_hash,
        **{name: validation.manifest[name] for name in FROM_MANIFEST},
        "frechet_name": extractor.frechet_name,
        "perceptual": perceptual and perceptual.name,
        "mismatched_by": shift,
        "seconds": round(time.monotonic() - began, 1),
        **{name: getattr(settings, name) for name in DrawingSettings.__dataclass_fields__},
        "sampling": asdict(drawing),
    }
    first = images.measured()
    assert first is not None  # as there are inputs
    return Evaluation.of(measured, first, validation, about)


FROM_MANIFEST = (
    "inputs",
    "references",
    "references_that_are_sources",
    "distractors",
    "extractor",
    "retrieval",
)


def by_key(metrics: Sequence[EditMetric] | None) -> dict[str, EditMetric]:
    """Fresh copies of metrics, and the distance to the driver among them.

    Raises:
        ValueError: when two have one key.
    """
    found: dict[str, EditMetric] = {}
    for metric in standard_metrics() if metrics is None else metrics:
        if metric.info.key in found:
            raise ValueError(f'Two metrics have the key "{metric.info.key}": leave one out.')
        found[metric.info.key] = copy.deepcopy(metric)
    found.setdefault("driver_distance", DriverDistance())
    return found


class FirstSamples(EditMetric):
    """The editor's samples of the first inputs as images, gathered as metrics are."""

    per = "set"
    info = MetricInfo("first_samples", "First samples")

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def measure(self, batch: EvaluatedBatch) -> UInt8[Tensor, "first samples side side 3"]:
        wanted = batch.edits[: max(0, self.count - batch.inputs.rows.start)]
        return torch.from_numpy(to_uint8(wanted))


def own_batches(count: int, size: int, rank: int = 0, processes: int = 1) -> list[range]:
    """Batches of one process, of at most `size` inputs: every `processes`-th from its own on.

    They are smaller where a process would get none otherwise. If there are fewer inputs than
    processes, the others measure the first batch again, which changes nothing: states that are
    gathered need the same shape everywhere.
    """
    size = min(size, math.ceil(count / processes))
    batches = [range(start, min(count, start + size)) for start in range(0, count, size)]
    return batches[rank::processes] or batches[:1]


@torch.no_grad()
def networks_for(
    editor: Editor,
    validation: ValidationSet,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
) -> MetricNetworks:
    """The networks that measure this editor's edits.

    Raises:
        ValueError: when editor, networks and validation set don't fit each other.
    """
    for name in ("image_size", "driver_size"):
        ours, theirs = getattr(editor, name), getattr(validation, name)
        if ours != theirs:
            raise ValueError(
                f"The editor's {name} is {ours} and the validation set's is {theirs}, build one "
                f"with {name}={ours}."
            )
    known, wanted = validation.manifest["extractor"], validation.manifest["retrieval"]
    if extractor.name != known:
        raise ValueError(
            f'The validation set holds features of "{known}" and the extractor is '
            f'"{extractor.name}", use the same or build the validation set again.'
        )
    if extractor.device != editor.device:
        raise ValueError(
            f"The extractor is on {extractor.device} and the editor on {editor.device}, move one "
            "of them."
        )
    given = [extractor] if perceptual is None else [extractor, PooledMaps(perceptual)]
    by_name = {network.name: network for network in given}
    retrieval = by_name.get(wanted) or build_extractor(wanted).to(editor.device)
    prepared_now, built = prepared(extractor, retrieval), validation.manifest.get("preprocessing")
    if built not in (None, prepared_now):
        raise ValueError(
            f"The validation set was built with images prepared as {built} and they are prepared "
            f"as {prepared_now}: build it again."
        )
    check_features(extractor, validation.sources, validation.features.sources)
    check_features(retrieval, validation.drivers, validation.features.drivers)
    return MetricNetworks(extractor, retrieval, perceptual)


def check_features(
    network: FeatureExtractor,
    images: UInt8[np.ndarray, "count side side 3"],
    stored: Float[Tensor, "count dim"],
) -> None:
    """Compares features of the first images with stored ones.

    Raises:
        ValueError: when a network with other weights or settings wrote them.
    """
    seen, stored = features_of(network, images[:CHECKED]), stored[:CHECKED]
    known = seen.shape == stored.shape
    difference = ((seen - stored).norm() / stored.norm()).item() if known else math.inf
    if difference > SAME_FEATURES:
        raise ValueError(
            f'The features of "{network.name}" differ from those in the validation set by '
            f"{difference:.0%}: it was built with other weights, use those or build it again."
        )

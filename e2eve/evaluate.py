"""Evaluate an editor: `python -m e2eve.evaluate run=FOLDER [validation_set=FOLDER]`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from e2eve.config import command, device_of, read_settings
from e2eve.evaluation.settings import DrawingSettings, check_validation_set


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(DrawingSettings):
    """The command's configuration; conf/evaluate.yaml says what each key means."""

    run: str
    decoder: str | None
    validation_set: str | None
    out: str | None
    extractor_weights: str | None
    perceptual: str
    perceptual_weights: str | None
    device: str
    sampling: dict[str, Any]
    metrics: dict[str, dict[str, Any] | None]


def evaluate(config: DictConfig) -> Path:
    """Writes metrics, samples and a report; the path of the report.

    Raises:
        ValueError: when there is no run, validation set or folder to write into.
    """
    if OmegaConf.is_missing(config, "run"):
        raise ValueError("run is missing: give run=<the folder of a training run, or a bundle>.")
    settings = read_settings(config, EvaluateSettings)
    run = Path(settings.run)
    folder = Path(settings.validation_set or run / "validation_set")
    if not (settings.validation_set or folder.is_dir()):
        raise ValueError(
            f"{run} holds no validation_set folder: give validation_set=<a folder that "
            "python -m e2eve.validation_set wrote>."
        )
    check_validation_set(folder)
    if not (settings.out or run.is_dir()):
        raise ValueError(f"{run} is no folder to write into: give out=<folder>.")

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.editor import Editor
    from e2eve.evaluation import evaluator
    from e2eve.evaluation.report import write_report
    from e2eve.evaluation.results import check_place
    from e2eve.evaluation.validation import ValidationSet
    from e2eve.features import build_extractor, build_perceptual
    from e2eve.reporting.progress import progress_bars

    device, measured = device_of(settings.device), evaluator.build_metrics(settings.metrics)
    validation = ValidationSet.load(folder)
    out = Path(settings.out or run / "evaluation" / validation.name)
    check_place(out)
    extractor = build_extractor(validation.manifest["extractor"], settings.extractor_weights)
    perceptual = build_perceptual(settings.perceptual, settings.perceptual_weights)
    with progress_bars() as report:
        found = evaluator.evaluate(
            Editor.from_pretrained(run, device, decoder=settings.decoder),
            validation,
            extractor.to(device),
            perceptual and perceptual.to(device),
            settings=settings,
            sampling=settings.sampling,
            metrics=measured,
            progress=report,
        )
    trained = run / "config.yaml"
    found.save(out)
    return write_report(
        out / "report.html",
        found,
        title=f"{run.name} on {validation.name}",
        curves=run / "metrics.csv",
        config=trained.read_text(encoding="utf-8") if trained.exists() else None,
    )


main = command("evaluate")(evaluate)

if __name__ == "__main__":
    main()

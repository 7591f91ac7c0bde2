"""Evaluate an editor: `python -m e2eve.evaluate run=FOLDER [validation_set=FOLDER]`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from e2eve.checks import check_writable
from e2eve.commands import command
from e2eve.config import about, device_of, read_settings
from e2eve.evaluation.settings import DrawingSettings, check_validation_set
from e2eve.limits import Text


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(DrawingSettings):
    """The command's configuration; conf/evaluate.yaml says what each key means."""

    run: Text
    decoder: Text | None
    validation_set: Text | None
    out: Text | None
    extractor_weights: Text | None
    perceptual: Text
    perceptual_weights: Text | None
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
        if not run.is_dir():  # the name of a packaged one, or nothing
            from e2eve.bundle import locate

            with about("run"):
                locate(settings.run)
        raise ValueError(
            f"run is {run} and holds no validation_set folder: give validation_set=<a folder that "
            "python -m e2eve.validation_set wrote>."
        )
    with about("validation_set" if settings.validation_set else "run"):
        check_validation_set(folder)
    if not (settings.out or run.is_dir()):
        raise ValueError(f"{run} is no folder to write into: give out=<folder>.")

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.bundle import read_bundle
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
    with about("out"):
        check_place(out)
    check_writable(out, "out")
    with about("extractor_weights"):
        extractor = build_extractor(validation.manifest["extractor"], settings.extractor_weights)
    with about("perceptual_weights" if settings.perceptual_weights else "perceptual"):
        perceptual = build_perceptual(settings.perceptual, settings.perceptual_weights)
    with about("run"):
        read_bundle(run, kind="editor")
    editor = Editor.from_pretrained(run, device, decoder=settings.decoder)
    with about("sampling", settings.sampling):
        editor.settings(settings.sampling)
    with progress_bars() as report:
        found = evaluator.evaluate(
            editor,
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

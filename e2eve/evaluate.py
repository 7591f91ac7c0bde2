"""Evaluate an editor: `python -m e2eve.evaluate run=FOLDER [validation_set=FOLDER]`."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from e2eve.config import device_of, verb

if TYPE_CHECKING:
    from e2eve.evaluation.systems import EvaluationSettings


@verb("evaluate")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    Console().print(str(evaluate(config)), soft_wrap=True, highlight=False)


def evaluate(config: DictConfig) -> Path:
    """Writes metrics, samples and a report; the path of the report."""
    if OmegaConf.is_missing(config, "run"):
        raise ValueError("run is missing: give run=<the folder of a training, or a bundle>.")
    folder = Path(config.run)
    validation_folder = find_validation_set(folder, config.validation_set)

    from e2eve.editor import Editor
    from e2eve.evaluation import evaluator
    from e2eve.evaluation.report import write_report
    from e2eve.evaluation.validation_set import ValidationSet
    from e2eve.features import build_extractor, build_perceptual
    from e2eve.reporting.progress import progress_bars

    device = device_of(config.device)
    validation = ValidationSet.load(validation_folder)
    out = Path(config.out or default_folder(folder, validation.name))
    editor = Editor.from_pretrained(folder, device=device)
    extractor = build_extractor(validation.extractor, config.extractor_weights).to(device)
    perceptual = build_perceptual(config.perceptual, config.perceptual_weights)
    perceptual = perceptual and perceptual.to(device)
    with progress_bars() as report:
        found = evaluator.evaluate(
            editor, validation, extractor, perceptual, settings=settings(config), progress=report
        )
    found.save(out)
    trained = folder / "config.yaml"
    return write_report(
        out / "report.html",
        found,
        title=f"{folder.name} on {validation.name}",
        curves=folder / "metrics.csv",
        config=trained.read_text(encoding="utf-8") if trained.exists() else None,
    )


def find_validation_set(run: Path, given: str | None) -> Path:
    """The folder that was asked for, or the one that the training built.

    Raises:
        ValueError: when there is none.
    """
    folder = Path(given) if given else run / "validation_set"
    if not given and not folder.is_dir():
        raise ValueError(
            f"{run} holds no validation_set folder: give validation_set=<a folder that "
            "python -m e2eve.validation_set wrote>."
        )
    return folder


def default_folder(run: Path, validation_name: str) -> Path:
    """Inside the run's folder, or the bundle's."""
    if not run.is_dir():
        raise ValueError(f"{run} is no folder to write into: give out=<folder>.")
    return run / "evaluation" / validation_name


def settings(config: DictConfig) -> "EvaluationSettings":
    from e2eve.evaluation.systems import EvaluationSettings
    from e2eve.transformer import SamplingSettings

    return EvaluationSettings(
        num_samples=config.num_samples,
        seed=config.seed,
        batch_size=config.batch_size,
        shown=config.shown,
        saved=config.saved,
        sampling=SamplingSettings(
            config.temperature,
            config.top_k,
            config.top_p,
            config.guidance,
            preserve=config.preserve,
        ),
    )


if __name__ == "__main__":
    main()

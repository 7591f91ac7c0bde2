"""Build a validation set: `python -m e2eve.validation_set [+experiment=…] out=FOLDER`."""

from pathlib import Path

from omegaconf import DictConfig

from e2eve.config import choose, device_of, instantiate, verb


@verb("validation_set")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    Console().print(str(build(config)), soft_wrap=True, highlight=False)


def build(config: DictConfig) -> Path:
    """Writes the folder, and index.html into it; the path of the page."""
    from e2eve.data.splits import build_splits
    from e2eve.evaluation.validation_building import build_validation_set, read_masks
    from e2eve.evaluation.validation_page import validation_page
    from e2eve.evaluation.validation_set import check_is_new
    from e2eve.features import build_extractor, build_perceptual
    from e2eve.reporting.progress import progress_bars

    folder, settings = check_is_new(config.out), config.evaluation
    pictures = choose(config.split, build_splits(config.dataset)._asdict(), "split")
    device = device_of(config.device)
    extractor = build_extractor(settings.extractor, settings.extractor_weights).to(device)
    compared = {"perceptual": settings.perceptual, "extractor": "none"}
    perceptual = build_perceptual(
        choose(config.retrieval, compared, "retrieval"), settings.perceptual_weights
    )
    with progress_bars() as report:
        validation = build_validation_set(
            pictures,
            instantiate(config.edit_simulation),
            extractor,
            perceptual and perceptual.to(device),
            num_inputs=settings.num_inputs,
            num_references=settings.num_references,
            num_distractors=settings.num_distractors,
            seed=settings.seed,
            same_place=config.same_place,
            masks=read_masks(config.regions, config.image_size) if config.regions else None,
            name=folder.name,
            progress=report,
        )
    validation.save(folder)
    return validation_page(validation).write(folder / "index.html")


if __name__ == "__main__":
    main()

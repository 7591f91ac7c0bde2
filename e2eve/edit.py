"""Edit images: `python -m e2eve.edit [model=…] source=… driver=… region=…`; alone an example."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from e2eve.commands import command
from e2eve.config import about, device_of, read_settings
from e2eve.jobs import (
    REGIONS,
    Centre,
    EditJob,
    JobSettings,
    Place,
    earlier,
    folder_of_many,
    read_jobs,
)
from e2eve.limits import Text

if TYPE_CHECKING:
    from e2eve.editing import Edits
    from e2eve.editor import Editor

log = logging.getLogger(__name__)

SHOWN = 3  # failures that the last sentence names; all are logged as they happen


@dataclass(frozen=True, kw_only=True)
class EditSettings(JobSettings):
    """The keys of conf/edit.yaml."""

    jobs_file: Text | None
    out: Text
    device: str


def edit(config: DictConfig) -> Path:
    """Writes the edits of every source; the path of the grid, or of the folder of many.

    Raises:
        ValueError: for what cannot be edited at all.
        OSError: when some of many could not be edited, after the others were.
    """
    settings = read_settings(config, EditSettings)
    names = [field.name for field in fields(JobSettings)]
    shared = JobSettings(**{name: getattr(settings, name) for name in names})
    listed = settings.jobs_file
    if listed is None:
        jobs = shared.jobs()
    else:
        with about("jobs_file"):
            jobs = read_jobs(Path(listed), shared)
    many = len(jobs) > 1 or bool(jobs[0].name)
    if not many:
        jobs[0].check_files()

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.editing.contact_sheet import write_contact_sheets
    from e2eve.editing.edits import file_names
    from e2eve.reporting.outputs import new_folder
    from e2eve.reporting.progress import progress_bars

    files = file_names(settings.keep or settings.num_samples)
    with about("out"):
        out = new_folder(settings.out, [] if many else files)
    out = folder_of_many(out, jobs) if many else out
    open_editor = last_editor(device_of(settings.device))
    if listed is None or not many:  # where all edits need the same one
        open_editor(jobs[0])
    done: list[Path] = []
    new = False
    failures: list[str] = []
    with progress_bars() as report:
        for number, job in enumerate(jobs):
            folder = out / job.name

            def progress(share: float, before: int = number) -> None:
                report("edits", before + share, len(jobs))

            try:
                if many and earlier(folder, job):
                    log.info("%s holds these edits already.", folder)
                else:
                    found = made(open_editor(job), job, progress)
                    for remark in found.remarks:
                        log.warning("%s: %s", job.source or "The example", remark)
                    folder = found.save(folder, **job.described)
                    new = True
                done.append(folder)
            except (ValueError, OSError) as error:
                named = f"{job.name}: " if listed and job.name else ""
                failure = f"{named}{job.source or 'The example'} was not edited. {error}"
                if not many:
                    raise ValueError(failure) from error
                log.warning("%s", failure)
                failures.append(failure)
            progress(1)
    if not many:
        if jobs[0].source is None:
            log.info("An example with toy faces; for your own: source=… driver=… %s.", REGIONS)
        return done[0] / "grid.png"
    for sheet in write_contact_sheets(out, done) if new else ():
        log.info("%s shows the edits.", sheet)
    if failures:
        rest = "" if len(failures) <= SHOWN else f" and {len(failures) - SHOWN} more"
        others = f", the others are in {out}" if done else ""
        told = " ".join(failures[:SHOWN])
        raise OSError(f"{len(failures)} of {len(jobs)} were not edited{others}: {told}{rest}")
    return out


def last_editor(device: str) -> Callable[[EditJob], "Editor"]:
    """What opens the editor of a job, unless that of the job before is the same."""
    from e2eve.bundle import read_bundle
    from e2eve.editor import Editor

    opened: dict[tuple[str, str | None], Editor] = {}

    def editor(job: EditJob) -> Editor:
        wanted = (job.settings.model, job.settings.decoder)
        if wanted not in opened:
            opened.clear()
            with about("model"):
                read_bundle(wanted[0], kind="editor")
            opened[wanted] = Editor.from_pretrained(wanted[0], device, decoder=wanted[1])
        with about("sampling", job.settings.sampling):
            opened[wanted].settings(job.settings.sampling)
        return opened[wanted]

    return editor


def made(editor: "Editor", job: EditJob, progress: Callable[[float], None]) -> "Edits":
    """The edits of a job."""
    from e2eve.data.toyfaces.example import example_edit
    from e2eve.editing import Driver

    job.check_files()
    settings = job.settings
    total = editor.transformer.layout.target * max(1, len(job.places))
    options: dict[str, Any] = {
        name: getattr(settings, name) for name in ("num_samples", "keep", "seed", "feather")
    }
    options |= settings.sampling

    def told(tokens: int) -> None:
        progress(tokens / total)

    if job.source is None:
        found = example_edit(editor.image_size)
        return editor.edit(found.source, found.driver, found.region, progress=told, **options)
    drivers: list[Any] = [
        Driver(path, _of(job.part, path), settings.driver_fit) for path in job.drivers
    ]
    regions: list[Any] = [_of(place, job.source) for place in job.places]
    return editor.edit(job.source, drivers, regions, progress=told, **options)


def _of(place: Place | None, image: Path) -> Any:
    """The place in an image, whose size its middle depends on."""
    if not isinstance(place, Centre):
        return place
    from e2eve.data.images import read_image

    height, width = read_image(image).shape[:2]
    return place.box(width, height)


main = command("edit", verbatim=("region", "driver_part"))(edit)

if __name__ == "__main__":
    main()

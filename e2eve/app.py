"""Edit images in a browser, or compare edits blindly: `python -m e2eve.app [model=…]`."""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from e2eve.commands import command
from e2eve.config import about, device_of, read_settings
from e2eve.limits import Port, Positive, PositiveFloat, Samples, Seed, Text

if TYPE_CHECKING:
    from e2eve.app_page.blind_page import BlindSite
    from e2eve.app_page.editing_page import EditingSite


@dataclass(frozen=True)
class AppSettings:
    """The keys of conf/app.yaml."""

    model: Text
    compare: list[str] | None
    votes: Text
    num_samples: Samples
    seed: Seed
    sampling: dict[str, Any]
    device: str
    host: Text
    port: Port
    max_megabytes: PositiveFloat
    max_megapixels: PositiveFloat
    max_samples: Samples
    max_seconds: PositiveFloat
    max_waiting: Positive


def run(config: DictConfig) -> None:
    """Serves one of the two pages."""
    settings = read_settings(config, AppSettings)
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.reporting.serving import serve

    site = blind_site(settings) if settings.compare is not None else editing_site(settings)
    serve(site, settings.host, settings.port, site.path)


def editing_site(settings: AppSettings) -> "EditingSite":
    """The page of an editor.

    Raises:
        ValueError: when there is no editor, or a setting of `sampling` is none of its.
    """
    from e2eve.app_page.editing_page import EditingSite, Limits
    from e2eve.editor import Editor

    with about("model"):
        editor = Editor.from_pretrained(settings.model, device=device_of(settings.device))
    with about("sampling", settings.sampling):
        chosen = asdict(editor.settings(settings.sampling))
    start = {name: chosen[name] for name in ("temperature", "guidance")}
    start |= {"num_samples": settings.num_samples, "seed": settings.seed}
    limits = Limits(**{name: getattr(settings, name) for name in Limits.__annotations__})
    return EditingSite(
        host=settings.host,
        secret=secrets.token_urlsafe(24),
        # Images are sent in base 64, four bytes for three, and strokes beside them.
        max_bytes=int(limits.max_megabytes * 1e6 * 4 / 3) + 1_000_000,
        editor=editor,
        name=settings.model,
        limits=limits,
        start={**start, "top_p": chosen["top_p"] or 1},
        sampling=settings.sampling,
    )


def blind_site(settings: AppSettings) -> "BlindSite":
    """The page of two runs' edits.

    Raises:
        ValueError: when there are not two runs with edits of the same inputs.
    """
    from e2eve.app_page.blind_page import BlindSite, read_systems

    with about("compare"):
        systems = read_systems(settings.compare or [])
    return BlindSite(
        host=settings.host,
        secret=secrets.token_urlsafe(24),
        max_bytes=10_000,
        systems=systems,
        votes=Path(settings.votes),
        seed=settings.seed,
    )


main = command("app")(run)

if __name__ == "__main__":
    main()

"""Compare runs in one page: `python -m e2eve.dashboard runs=[FOLDER,…] [live=true]`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from e2eve.config import PositiveFloat, command, listed, read_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DashboardSettings:
    """What conf/dashboard.yaml holds, with ranges."""

    runs: str | list[str]
    out: str
    title: str | None
    evaluation: str | None
    inputs: Annotated[int, Field(ge=1, le=200)]
    thumbnail: Annotated[int, Field(ge=16, le=512)]
    live: bool
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    refresh: PositiveFloat

    @property
    def places(self) -> list[str]:
        """The folders that were given, one or several."""
        return listed(self.runs)

    @property
    def heading(self) -> str:
        """The title that was given, or the names of the folders."""
        return self.title or ", ".join(Path(place).name or place for place in self.places)


@command("dashboard")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    settings = settings_of(config)
    if settings.live:
        serve(settings)
    else:
        Console().print(str(dashboard(settings)), soft_wrap=True, highlight=False)


def settings_of(config: DictConfig) -> DashboardSettings:
    """The config with types and ranges checked.

    Raises ValueError without folders of runs.
    """
    if OmegaConf.is_missing(config, "runs") or not config.runs:
        raise ValueError("runs is missing: give runs=[<folders of training runs or sweeps>].")
    return read_settings(config, DashboardSettings)


def dashboard(settings: DashboardSettings) -> Path:
    """Writes the page and the tables beside it; the path of the page."""
    out = Path(settings.out)
    if out.is_dir():
        raise ValueError(f"out={out} is a folder: give the name of a file, such as {out}.html.")

    from e2eve.comparison.comparison import compare
    from e2eve.comparison.page import PageSettings, write_dashboard
    from e2eve.reporting.progress import progress_bars

    page = PageSettings(settings.heading, settings.thumbnail, settings.inputs)
    with progress_bars() as report:
        comparison = compare(settings.places, settings.evaluation)
        return write_dashboard(out, comparison, page, report)


def serve(settings: DashboardSettings) -> None:
    """Answers on this machine until it is interrupted."""
    from e2eve.comparison.live import LiveDashboard, server
    from e2eve.comparison.page import PageSettings

    page = PageSettings(settings.heading, settings.thumbnail, settings.inputs)
    live = LiveDashboard(settings.places, page, settings.evaluation, settings.refresh)
    with server(live, settings.host, settings.port) as serving:
        log.info("http://%s:%d (Ctrl+C ends it)", *serving.server_address[:2])
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            log.info("Ended.")


if __name__ == "__main__":
    main()

"""Compare runs in one page: `python -m e2eve.dashboard runs=[FOLDER,…] [live=true]`."""

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from e2eve.config import listed, verb

log = logging.getLogger(__name__)


@verb("dashboard")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    if config.live:
        serve(config)
        return
    from rich.console import Console

    Console().print(str(dashboard(config)), soft_wrap=True, highlight=False)


def dashboard(config: DictConfig) -> Path:
    """Writes the page and the tables beside it; the path of the page."""
    places, out = places_of(config), Path(config.out)
    if out.is_dir():
        raise ValueError(f"out={out} is a folder: give the name of a file, such as {out}.html.")

    from e2eve.comparison.comparison import compare
    from e2eve.comparison.page import PageSettings, write_dashboard
    from e2eve.reporting.progress import progress_bars

    settings = PageSettings(title_of(config), config.thumbnail, config.inputs)
    with progress_bars() as report:
        comparison = compare(places, config.evaluation)
        return write_dashboard(out, comparison, settings, report)


def serve(config: DictConfig) -> None:
    """Answers on this machine until it is interrupted."""
    places = places_of(config)

    from e2eve.comparison.live import LiveDashboard, server
    from e2eve.comparison.page import PageSettings

    settings = PageSettings(title_of(config), config.thumbnail, config.inputs)
    page = LiveDashboard(places, settings, config.evaluation, config.refresh)
    with server(page, config.host, config.port) as serving:
        log.info("http://%s:%d (Ctrl+C ends it)", *serving.server_address[:2])
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            log.info("Ended.")


def places_of(config: DictConfig) -> list[str]:
    """The folders that were given, one or several.

    Raises:
        ValueError: without any.
    """
    if OmegaConf.is_missing(config, "runs") or not config.runs:
        raise ValueError("runs is missing: give runs=[<folders of trainings or sweeps>].")
    return [str(place) for place in listed(config.runs)]


def title_of(config: DictConfig) -> str:
    """The one that was given, or the names of the folders."""
    return config.title or ", ".join(Path(place).name or place for place in places_of(config))


if __name__ == "__main__":
    main()

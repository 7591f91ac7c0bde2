"""Compare runs in one page: `python -m e2eve.dashboard runs=[FOLDER,…] [live=true]`."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from e2eve.commands import command
from e2eve.config import read_settings

if TYPE_CHECKING:
    from e2eve.comparison.dashboard_page import DashboardSettings


def run(config: DictConfig) -> Path | None:
    """Serves the page where `live` says so, else writes it."""
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.comparison.dashboard_page import serve

    if not config.live:
        return dashboard(config)
    serve(settings_of(config))
    return None


def dashboard(config: DictConfig) -> Path:
    """Writes the page and the tables beside it; the path of the page."""
    from e2eve.comparison.dashboard_page import write_dashboard
    from e2eve.reporting.progress import progress_bars

    with progress_bars() as report:
        return write_dashboard(settings_of(config), report)


def settings_of(config: DictConfig) -> "DashboardSettings":
    """Raises ValueError without folders of runs, or if a value is out of range."""
    from e2eve.comparison.dashboard_page import DashboardSettings

    runs = None if OmegaConf.is_missing(config, "runs") else config.runs
    if not runs:
        given = "missing" if runs is None else runs
        raise ValueError(f"runs is {given}: give runs=[<folders of training runs or sweeps>].")
    return read_settings(config, DashboardSettings)


main = command("dashboard")(run)

if __name__ == "__main__":
    main()

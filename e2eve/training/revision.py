"""Which revision of the code a run was made with."""

import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def git_revision(package: Path = PACKAGE) -> str | None:
    """Hash of the commit, with "-dirty" where files were changed since; None outside a checkout.

    A package that is installed somewhere inside another project's checkout has no revision.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git(package, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

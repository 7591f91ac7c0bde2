"""Where, and with which code, a run is made."""

import os
import socket
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def run_metadata() -> dict[str, object]:
    """Host, process, revision of the code, and the job's id under SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    facts = {"host": socket.gethostname(), "process": os.getpid(), "revision": git_revision()}
    return {**facts, "job": job} if job else facts


def git_revision(package: Path = PACKAGE) -> str | None:
    """Hash of the commit, with "-dirty" where files were changed since; None outside a checkout.

    A package that is installed somewhere inside another project's checkout has no revision.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git(package, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    line = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

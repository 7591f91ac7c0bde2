"""Run folders on disk: files, state, lock, curves; what is known of a run without PyTorch."""

from e2eve.runs.curves import Curve, Curves, read_curves
from e2eve.runs.folder import RunFolder, run_settings
from e2eve.runs.lock import is_locked, lock_run_dir
from e2eve.runs.metadata import git_revision, run_metadata

__all__ = [
    "Curve",
    "Curves",
    "RunFolder",
    "git_revision",
    "is_locked",
    "lock_run_dir",
    "read_curves",
    "run_metadata",
    "run_settings",
]

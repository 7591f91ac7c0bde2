"""Trains in pieces, for a machine that is lent for minutes and gives back small files only.

    python scripts/in_pieces.py RUN --minutes 8 --parts OUT [--from PARTS] -- +experiment=…

What follows `--` are the overrides of `python -m e2eve.train`, which trains in the folder RUN. Once
the minutes are over it is asked to save and stop, as by any SIGTERM, and RUN is packed into
`OUT/<its name>.tar.0000`, `.0001` and so on, of at most 16 MiB each. The next piece is the same
command with `--from` a folder that holds these parts; it ends with the weights that a training run
in one piece has. Cached ids are left out, and of checkpoints all but the newest, or all where the
run is done. Exits with 0 when the run is done, with 143 when it has to go on.
"""

import argparse
import io
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from e2eve.runs import RunFolder

MEBIBYTE = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--minutes", type=float, required=True, help="after which a run is stopped")
    parser.add_argument("--parts", type=Path, required=True, help="folder for the packed run")
    parser.add_argument("--from", dest="before", type=Path, help="folder with an earlier piece's")
    parser.add_argument("--part-mib", type=float, default=16, help="most that a part holds")
    parser.add_argument("overrides", nargs="+", help="of python -m e2eve.train")
    given = parser.parse_args()
    if given.before is not None and not given.run.exists():
        unpack(given.run, parts_in(given.before, given.run.name))
    code = train([f"run_dir={given.run}", *given.overrides], 60 * given.minutes)
    if given.run.exists():  # else the command was refused
        pack(RunFolder(given.run), given.parts, int(given.part_mib * MEBIBYTE))
    return code


def train(overrides: Sequence[str], seconds: float) -> int:
    """The exit code of a training run that is told to save and stop after so long."""
    process = subprocess.Popen([sys.executable, "-m", "e2eve.train", *overrides])
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        return code if code >= 0 else 128 - code  # ended before it could begin


def pack(run: RunFolder, folder: Path, size: int) -> list[Path]:
    """Write the run as parts of at most so many bytes, in the place of older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in parts_in(folder, run.path.name):
        old.unlink()
    done = run.status()["state"] == "done"
    newest = None if done else run.last_checkpoint
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(run.path.rglob("*")):
            inner = path.relative_to(run.path)
            dropped = inner.parts[0] == "token_cache" or (
                inner.parts[0] == "checkpoints" and path != newest
            )
            if path.is_file() and not dropped:
                archive.add(path, str(inner))
    content, paths = packed.getvalue(), []
    for number, start in enumerate(range(0, len(content), size)):
        paths.append(folder / f"{run.path.name}.tar.{number:04}")
        paths[-1].write_bytes(content[start : start + size])
    return paths


def parts_in(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}.tar.[0-9]*"))


def unpack(folder: Path, parts: Sequence[Path]) -> None:
    """Make a run's folder of its parts; nothing without any."""
    if not parts:
        return
    content = io.BytesIO(b"".join(path.read_bytes() for path in parts))
    with tarfile.open(fileobj=content) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    sys.exit(main())

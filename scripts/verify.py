"""Agreement with libraries that the field trusts, and with a truth that is known.

    pip install -e '.[verify]'
    python scripts/verify.py [--quick] [--out FOLDER]

None of the paper's numbers can be checked, so trust has to come from elsewhere. Five items, each a
table of claims beside a peer: networks, sampling, a world whose answer is known, metrics, data.
Writes `verification.md` and a page, `verification.html`, in about 15 minutes on two cores. With
`--quick` less of each is measured, and only printed; peers that are not installed are named.
Exits with 1 where something disagrees.
"""

import argparse
import logging
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where tests/ and scripts/ lie

from e2eve.reporting.page import Column, Highlight, Page
from e2eve.reporting.progress import progress_bars
from scripts.verification import data, known_world, metrics, networks, sampling
from scripts.verification.findings import INSTALL, Findings, Row

ROOT = Path(__file__).parents[1]
ITEMS = (networks, sampling, known_world, metrics, data)
HEADINGS = ("claim", "peer", "measured", "limit", "agrees")
TITLE = "Agreement with peers"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of each, and only printed")
    parser.add_argument("--out", type=Path, default=ROOT / ".results", metavar="FOLDER")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("e2eve").setLevel(logging.INFO)
    started = time.monotonic()
    with progress_bars() as report:
        found = [item.find(given.quick, report) for item in ITEMS]
    about = setting(given.quick, (time.monotonic() - started) / 60)
    text = markdown(found, about)
    print(text)
    if not given.quick:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "verification.md").write_text(text + "\n", encoding="utf-8")
        page(found, about).write(given.out / "verification.html")
    return int(any(row.agrees is False for item in found for row in item.rows))


def setting(quick: bool, minutes: float) -> str:
    """What the figures were measured with."""
    return (
        f"`python scripts/verify.py{' --quick' * quick}`, {minutes:.0f} minutes, "
        f"{time.strftime('%Y-%m-%d')}, Python "
        f"{platform.python_version()}, PyTorch {version('torch')}, SciPy {version('scipy')}."
    )


def tally(found: Sequence[Findings]) -> dict[str, int]:
    rows = [row for item in found for row in item.rows]
    without = [row for row in rows if row.agrees is None]
    return {
        "agree": sum(row.agrees is True for row in rows),
        "disagree": sum(row.agrees is False for row in rows),
        "have no limit": sum(row.limit != INSTALL for row in without),
        "lack their peer": sum(row.limit == INSTALL for row in without),
    }


def summary(found: Sequence[Findings]) -> str:
    """How many rows agree, and how to have those whose peers are missing."""
    counts = tally(found)
    told = ", ".join(
        f"{count} {what}" for what, count in counts.items() if count or "agree" in what
    )
    return f"Of all rows {told}." + (
        f" For the peers that are missing: `{INSTALL}`." if counts["lack their peer"] else ""
    )


def verdict(row: Row) -> str:
    return {True: "yes", False: "no", None: "–"}[row.agrees]


def markdown(found: Sequence[Findings], about: str) -> str:
    parts = [f"# {TITLE}", f"{summary(found)} {about}"]
    for item in found:
        cells = [[*row[:4], verdict(row)] for row in item.rows]
        parts += [f"## {item.title}", item.text, table(HEADINGS, cells)]
        for more in item.tables:
            parts += [more.caption, table(more.headings, more.cells)]
    return "\n\n".join(parts)


def table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(found: Sequence[Findings], about: str) -> Page:
    """The same tables to look at."""
    made = Page(TITLE, about)
    made.highlights([Highlight(str(count), what) for what, count in tally(found).items()])
    made.text(
        "Claims that the project makes of itself, each beside a peer: a library that the field "
        "trusts, a slow reading of its own, or a truth that was worked out. Rows without a limit "
        "tell what was measured, and why nothing is asked of it. Written by "
        "`python scripts/verify.py`, which anyone can run again."
    )
    for item in found:
        made.section(item.title).text(item.text)
        rows = [{**row._asdict(), "agrees": verdict(row)} for row in item.rows]
        made.table(rows, [Column(heading, heading) for heading in HEADINGS])
        for more in item.tables:
            keyed = [dict(zip(more.headings, line, strict=True)) for line in more.cells]
            made.table(keyed, list(more.headings), more.caption)
    return made


if __name__ == "__main__":
    sys.exit(main())

"""Many people at once on the page: what they are told, in which order, and what the server keeps.

    python scripts/load_test.py [--minutes 5] [--clients 50] [--queue 16] [model=toyfaces …]

Starts `python -m e2eve.app` with what is given, and so many clients, each of which sends the
page's example with another seed, looks at it twice a second until it is done, fetches the best
edit, and begins again; half of them leave without dropping what they asked for. Refused ones come
back after a second or two. Asked for are:

- every edit that was accepted is drawn, and is an image of the source's size;
- edits end in the order in which they were accepted, and nobody's place in the queue gets worse;
- a refusal comes in a second;
- the server's memory: its slope after the first third, with the largest value.

Prints a table; exits with 1 where one of the first three is not so.
"""

import argparse
import base64
import io
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from e2eve.reporting.progress import progress_bars

QUICK = 1.0  # seconds in which a refusal comes


@dataclass
class Asked:
    """An accepted edit, in seconds since the start.

    Attributes:
        sent, accepted: around the moment at which it was put in line.
        waited, ended: when it was last seen not done, and first seen done; 0: never.
        places: how many were ahead, each time that was looked at.
    """

    sent: float
    accepted: float
    waited: float = 0.0
    ended: float = 0.0
    places: list[int] = field(default_factory=list)
    problem: str = ""


class Page:
    """The server, as a client sees it."""

    def __init__(self, overrides: Sequence[str]) -> None:
        command = [sys.executable, "-m", "e2eve.app", "port=0", *overrides]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = iter(self.process.stdout)
        found = next((m for line in lines if (m := re.search(r"http://\S+?:\d+/\S*", line))), None)
        if found is None:
            sys.exit("The page did not start.")
        self.address = found[0].rstrip("/.")
        threading.Thread(target=lambda: list(lines), daemon=True).start()

    def ask(self, method: str, path: str, form: Any = None) -> bytes:
        data = None if form is None else json.dumps(form).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(
            Request(f"{self.address}/{path}", data, headers, method=method), timeout=60
        ) as r:
            return r.read()

    def megabytes(self) -> float:
        """What the server keeps in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1000


class Crowd:
    """Clients that begin again and again until the time is over."""

    def __init__(self, page: Page, seconds: float) -> None:
        self.page, self.start, self.seconds = page, time.monotonic(), seconds
        example = json.loads(page.ask("GET", "example"))
        left, top, side = example["crop"]
        self.form = {
            **{name: example[name] for name in ("source", "driver")},
            "driver_box": [left, top, left + side, top + side],
            "marks": [example["mark"]],
            "num_samples": 1,
            **{"temperature": 1.0, "top_p": 0.9, "guidance": 2.0},
        }
        self.size = Image.open(io.BytesIO(base64.b64decode(example["source"]))).size
        self.accepted: list[Asked] = []
        self.refusals: list[float] = []  # seconds that each took

    def now(self) -> float:
        return time.monotonic() - self.start

    def client(self, number: int) -> None:
        rng = random.Random(number)
        while self.now() < self.seconds:
            sent = self.now()
            form = {**self.form, "seed": rng.randrange(10**6)}
            try:
                name = json.loads(self.page.ask("POST", "edits", form))["name"]
            except HTTPError as error:
                assert error.code == 503, error.read()
                self.refusals.append(self.now() - sent)
                time.sleep(rng.uniform(1, 2))
                continue
            asked = Asked(sent, self.now())
            self.accepted.append(asked)
            self.follow(name, asked)
            if number % 2:
                self.page.ask("DELETE", f"edits/{name}")

    def follow(self, name: str, asked: Asked) -> None:
        """Until it is done, or the server does not answer as it should."""
        while not asked.ended:
            time.sleep(0.5)
            looked = self.now()
            state = json.loads(self.page.ask("GET", f"edits/{name}"))
            asked.places.append(state["ahead"])
            if state["state"] in ("waiting", "running"):
                asked.waited = looked
            elif state["state"] == "done":
                asked.ended = self.now()
                best = Image.open(io.BytesIO(self.page.ask("GET", f"edits/{name}/0.png")))
                asked.problem = "" if best.size == self.size else f"an image of {best.size}"
            else:
                asked.ended, asked.problem = self.now(), state["message"]


def overtaken(accepted: Sequence[Asked]) -> int:
    """Pairs of which the later one was seen done before the earlier one was."""
    return sum(
        one.accepted < other.sent and other.ended < one.waited
        for one in accepted
        for other in accepted
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--queue", type=int, default=16, help="edits that may wait")
    parser.add_argument("overrides", nargs="*", help="of python -m e2eve.app")
    given = parser.parse_args()
    page = Page([f"max_waiting={given.queue}", *given.overrides])
    try:
        crowd, memory = Crowd(page, 60 * given.minutes), list[tuple[float, float]]()
        with ThreadPoolExecutor(given.clients) as pool, progress_bars() as report:
            clients = [pool.submit(crowd.client, number) for number in range(given.clients)]
            while not all(client.done() for client in clients):
                memory.append((crowd.now(), page.megabytes()))
                report("seconds", min(int(crowd.now()), int(crowd.seconds)), int(crowd.seconds))
                time.sleep(1)
            for client in clients:
                client.result()
    finally:
        page.process.terminate()
        page.process.wait()
    sys.exit(0 if reported(crowd, memory) else 1)


def reported(crowd: Crowd, memory: Sequence[tuple[float, float]]) -> bool:
    """Prints what was found, and says whether it is as it should be."""
    accepted = crowd.accepted
    problems = [asked.problem for asked in accepted if asked.problem or not asked.ended]
    worse = sum(b > a for asked in accepted for a, b in pairwise(asked.places))
    slowest, passed = max(crowd.refusals, default=0.0), overtaken(accepted)
    times, kept = np.array([row for row in memory if row[0] > crowd.seconds / 3]).T
    slope = 60 * np.polyfit(times, kept, 1)[0] if len(times) > 1 else float("nan")
    waited = [asked.ended - asked.sent for asked in accepted]
    table = Table("of the page", "found")
    for what, text in (
        ("edits accepted and drawn", f"{len(accepted) - len(problems)} of {len(accepted)}"),
        ("a visitor waited, median and most", f"{np.median(waited):.1f} s, {max(waited):.1f} s"),
        ("edits that a later one overtook", str(passed)),
        ("times that a place got worse", str(worse)),
        ("refusals, the slowest", f"{len(crowd.refusals)}, {slowest:.2f} s"),
        ("memory at the end, and most", f"{kept[-1]:.0f} MB, {max(kept):.0f} MB"),
        ("slope of memory after the first third", f"{slope:+.1f} MB a minute"),
    ):
        table.add_row(what, text)
    Console().print(table)
    return not (problems or passed or worse) and slowest < QUICK


if __name__ == "__main__":
    main()

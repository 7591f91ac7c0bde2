"""The dashboard on this machine's own address, following runs as they go on."""

import hashlib
import logging
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from e2eve.comparison.comparison import compare
from e2eve.comparison.page import LiveState, PageSettings, dashboard_html
from e2eve.comparison.runs import find_runs
from e2eve.evaluation.results import METRICS

log = logging.getLogger(__name__)

WATCHED = ("status.json", "config.yaml", "metrics.csv", METRICS)

LOCAL = ("127.0.0.1", "localhost", "::1")

TYPES = {".png": "image/png", ".html": "text/html; charset=utf-8"}
"""Of the files in run folders that the page leads to."""


class Answer(NamedTuple):
    status: HTTPStatus
    kind: str
    body: bytes


class LiveDashboard:
    """The page of some runs as they are now; made anew when they have changed.

    Only files that the page leads to are handed out: its addresses are names in a table, not paths.
    """

    def __init__(
        self,
        places: Sequence[str],
        settings: PageSettings,
        evaluation: str | None = None,
        seconds: float = 10,
    ) -> None:
        find_runs(places)  # says at once what is wrong with them
        self.places, self.settings, self.evaluation = places, settings, evaluation
        self.seconds = seconds
        self.files: dict[str, Path] = {}
        self._page, self._state = b"", ""
        self._lock = threading.Lock()

    def state(self) -> str:
        """Changes when a run does."""
        digest = hashlib.sha256()
        for run in find_runs(self.places):
            place = run / "evaluation" / self.evaluation if self.evaluation else run
            for path in (*(run / name for name in WATCHED), place / METRICS):
                if path.exists():
                    found = path.stat()
                    digest.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
        return digest.hexdigest()[:16]

    def page(self) -> bytes:
        with self._lock:
            state = self.state()
            if state != self._state:
                comparison = compare(self.places, self.evaluation)
                live = LiveState(state, self.seconds)
                html = dashboard_html(comparison, self.settings, self.link, live=live)
                self._page, self._state = html.encode(), state
            return self._page

    def link(self, path: Path) -> str:
        name = f"files/{hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]}/{path.name}"
        self.files[name] = path
        return quote(name)

    def answer(self, address: str) -> Answer:
        """To a GET of this path."""
        name = unquote(urlsplit(address).path).removeprefix("/")
        if name == "":
            return Answer(HTTPStatus.OK, TYPES[".html"], self.page())
        if name == "state":
            return Answer(HTTPStatus.OK, "text/plain; charset=utf-8", self.state().encode())
        path = self.files.get(name)
        if path is None or not path.is_file():
            return Answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"no such page")
        return Answer(HTTPStatus.OK, TYPES[path.suffix], path.read_bytes())


def server(page: LiveDashboard, host: str, port: int) -> ThreadingHTTPServer:
    """Bound, and not yet serving.

    Raises:
        ValueError: when the port is taken or the address is not this machine's.
    """

    class Handler(_Handler):
        dashboard = page

    try:
        return ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"{host}:{port} cannot be listened at ({error}): give another port=…, 0 for any."
        ) from error


class _Handler(BaseHTTPRequestHandler):
    dashboard: LiveDashboard

    def do_GET(self) -> None:
        try:
            self._send(self._answer())
        except ConnectionError:
            log.debug("The reader of %s has left.", self.path)

    def _answer(self) -> Answer:
        if not is_local(self.headers.get("Host", "")):
            text = b"This page answers to localhost only."
            return Answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", text)
        try:
            return self.dashboard.answer(self.path)
        except ValueError as error:  # the runs have gone since
            text = str(error).encode()
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine, with any port.

    A web page that has its own name point here (DNS rebinding) sends that name.
    """
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in LOCAL

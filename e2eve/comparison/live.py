"""The dashboard on this machine's own address, following runs as they are trained."""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from e2eve.comparison.comparison import compare
from e2eve.comparison.dashboard_page import DashboardSettings, dashboard_html
from e2eve.comparison.runs import find_runs
from e2eve.evaluation.results import METRICS

log = logging.getLogger(__name__)

WATCHED = ("status.json", "config.yaml", "metrics.csv", METRICS)
LOCAL = ("127.0.0.1", "localhost", "::1")
TEXT, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
TYPES = {".png": "image/png", ".html": HTML}  # of the files that the page leads to


class LiveDashboard:
    """The page of some runs as they are now, as a WSGI application; made anew when they change.

    Only files that the page leads to are handed out: its addresses are names in a table, not paths.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        find_runs(settings.places)  # says at once what is wrong with them
        self.settings = settings
        self.files: dict[str, Path] = {}
        self._page, self._state = b"", ""
        self._lock = threading.Lock()

    def state(self) -> str:
        """A text that changes when a run does."""
        later = f"evaluation/{self.settings.evaluation}/{METRICS}"
        runs = find_runs(self.settings.places)
        paths = [run / name for run in runs for name in (*WATCHED, later)]
        found = [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths if p.exists()]
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def page(self) -> bytes:
        with self._lock:
            state = self.state()
            if state != self._state:
                comparison = compare(self.settings.places, self.settings.evaluation)
                html = dashboard_html(comparison, self.settings, self.link, state)
                self._page, self._state = html.encode(), state
            return self._page

    def link(self, path: Path) -> str:
        name = f"files/{hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]}/{path.name}"
        self.files[name] = path
        return quote(name)

    def __call__(self, request: Mapping[str, Any], start: Callable[..., Any]) -> list[bytes]:
        # A web page that has its own name point here (DNS rebinding) sends that name.
        if is_local(request.get("HTTP_HOST", "")):
            status, kind, body = self.answer(request["PATH_INFO"].encode("latin-1").decode())
        else:
            status, kind = HTTPStatus.FORBIDDEN, TEXT
            body = b"This page answers to localhost only."
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        headers |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        start(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    def answer(self, address: str) -> tuple[HTTPStatus, str, bytes]:
        """What is sent for this path, and of which type it is."""
        name = address.removeprefix("/")
        path = self.files.get(name)
        try:
            if name == "":
                return HTTPStatus.OK, HTML, self.page()
            if name == "state":
                return HTTPStatus.OK, TEXT, self.state().encode()
        except ValueError as error:  # the runs have gone since
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, str(error).encode()
        if path is None or not path.is_file():
            return HTTPStatus.NOT_FOUND, TEXT, b"no such page"
        return HTTPStatus.OK, TYPES[path.suffix], path.read_bytes()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def server(page: LiveDashboard) -> WSGIServer:
    """Bound, and not yet serving.

    Raises ValueError if the port is taken or the address is not this machine's.
    """
    host, port = page.settings.host, page.settings.port
    try:
        return make_server(host, port, page, _Server, _Handler)
    except OSError as error:
        raise ValueError(
            f"{host}:{port} cannot be listened at ({error}): give another port=…, 0 for any."
        ) from error


def serve(settings: DashboardSettings) -> None:
    """Answers on this machine until it is interrupted."""
    with server(LiveDashboard(settings)) as serving:
        log.info("http://%s:%d (Ctrl+C ends it)", *serving.server_address[:2])
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            log.info("Ended.")


def is_local(host: str) -> bool:
    """Whether a Host header names this machine, with any port."""
    try:
        return urlsplit(f"//{host}").hostname in LOCAL
    except ValueError:
        return False

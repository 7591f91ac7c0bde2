"""A headless Chromium for tests of pages; without one they are skipped."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from e2eve.reporting.serving import server

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


class Watched:
    """A page, the addresses that it asked for, and what it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    @property
    def outside(self) -> list[str]:
        local = ("file:", "data:", "blob:", "http://127.0.0.1:")
        return [url for url in self.asked if not url.startswith(local)]


@pytest.fixture
def watched(browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    seen = Watched(page)
    yield seen
    page.close()
    assert seen.errors == [], seen.errors
    assert seen.outside == [], seen.outside


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """The port of this machine at which an application answers."""
    with server(application, "127.0.0.1", 0) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield found.server_address[1]
        finally:
            found.shutdown()
            thread.join()

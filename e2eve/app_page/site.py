"""What the app's pages have in common: which requests are answered, and with which headers."""

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

from e2eve.reporting.page import environment
from e2eve.reporting.serving import HTML, LOCAL, TEXT, is_local

log = logging.getLogger(__name__)

JSON, PNG = "application/json", "image/png"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


class Answer(NamedTuple):
    kind: str
    body: bytes
    status: HTTPStatus = HTTPStatus.OK

    @classmethod
    def of(cls, value: Any) -> "Answer":
        return cls(JSON, json.dumps(value, ensure_ascii=False).encode())


class RequestError(ValueError):
    """A sentence for whoever asked, and the status that goes with it."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Site:
    """A WSGI application that answers requests of its own page only.

    On a loopback address these are the ones that call this machine localhost, so that no other web
    page gets in by a name of its own (DNS rebinding); on any other address whoever knows `secret`,
    which all paths then begin with. What another page sends is refused either way.

    Args:
        host: address listened at.
        secret: a text that cannot be guessed.
        max_bytes: of a request's body.
    """

    host: str
    secret: str
    max_bytes: int

    template: ClassVar[str]

    @property
    def path(self) -> str:
        """Where the page is."""
        return "" if self.host in LOCAL else f"{self.secret}/"

    def __call__(self, request: Mapping[str, Any], start: Callable[..., Any]) -> list[bytes]:
        try:
            answer = self._checked(request)
        except RequestError as error:
            answer = Answer(TEXT, str(error).encode(), error.status)
        except ValueError as error:
            answer = Answer(TEXT, str(error).encode(), HTTPStatus.BAD_REQUEST)
        except Exception:
            log.exception("A request failed.")
            sentence = b"The request failed on the server, whose log says why."
            answer = Answer(TEXT, sentence, HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **HEADERS}
        start(f"{answer.status.value} {answer.status.phrase}", list(headers.items()))
        return [answer.body]

    def _checked(self, request: Mapping[str, Any]) -> Answer:
        host, origin = request.get("HTTP_HOST", ""), request.get("HTTP_ORIGIN")
        if not self.path and not is_local(host):
            raise RequestError(HTTPStatus.FORBIDDEN, "This page answers to localhost only.")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RequestError(HTTPStatus.FORBIDDEN, "This page answers to itself only.")
        path = request["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        prefix = f"/{self.path}"
        if not hmac.compare_digest(path[: len(prefix)].encode(), prefix.encode()):
            raise RequestError(HTTPStatus.NOT_FOUND, "There is no such page.")
        method, name = request["REQUEST_METHOD"], path[len(prefix) :]
        if (method, name) == ("GET", ""):
            return Answer(HTML, self.page().encode())
        body = self._body(request) if method == "POST" else None
        found = self.answer(method, name.split("/"), body)
        if found is None:
            raise RequestError(HTTPStatus.NOT_FOUND, "There is no such page.")
        return found

    def _body(self, request: Mapping[str, Any]) -> Any:
        length = request.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > self.max_bytes:
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"More than {self.max_bytes / 1e6:.0f} MB were sent: take smaller images.",
            )
        # No other page can send this type without being asked for leave first.
        if request.get("CONTENT_TYPE") != JSON:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send {JSON}.")
        try:
            return json.loads(request["wsgi.input"].read(int(length)))
        except (ValueError, RecursionError):
            raise ValueError("What was sent is no JSON.") from None

    def page(self) -> str:
        """The HTML of the page."""
        found = environment("e2eve.app_page").get_template(self.template)
        return found.render(sections=[], **self.content())

    def content(self) -> dict[str, Any]:
        """What the template shows."""
        raise NotImplementedError

    def answer(self, method: str, names: list[str], body: Any) -> Answer | None:
        """What is sent for a path, its names between slashes; None where there is nothing."""
        raise NotImplementedError

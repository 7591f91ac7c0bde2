"""Pages answered from this machine: the server of a WSGI application, and whom it answers."""

import logging
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

log = logging.getLogger(__name__)

LOCAL = ("127.0.0.1", "localhost", "::1")
TEXT, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(WSGIRequestHandler):
    timeout = 60  # seconds that a connection may be silent

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def server(application: Callable[..., Any], host: str, port: int) -> WSGIServer:
    """Bound, and not yet serving.

    Args:
        port: 0 for any free one.

    Raises ValueError if the port is taken or the address is not this machine's.
    """
    try:
        return make_server(host, port, application, _Server, _Handler)
    except OSError as error:
        raise ValueError(
            f"{host}:{port} cannot be listened at ({error}): give another port=…, 0 for any."
        ) from error


def serve(application: Callable[..., Any], host: str, port: int, path: str = "") -> None:
    """Answers until it is interrupted; logs the address of the page at `path`."""
    with server(application, host, port) as serving:
        log.info("http://%s:%d/%s (Ctrl+C ends it)", *serving.server_address[:2], path)
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

"""Web servers that answer while a test runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps the test's output clean."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Folder(Quiet, SimpleHTTPRequestHandler):
    """A handler that serves a folder; `functools.partial` names it as `directory`."""


@contextmanager
def answering(handler: Callable[..., Any], host: str = "127.0.0.1") -> Iterator[str]:
    """Answer by `handler` on a free port while the block runs; the address, without a slash at its end."""
    with ThreadingHTTPServer((host, 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

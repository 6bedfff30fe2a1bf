"""Serves a mirror over HTTP, with concurrent requests and byte ranges for resumed downloads."""

import os
import re
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from ingot.errors import IngotError, UsageError

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class _Part:
    """The next `length` bytes of an open file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int) -> bytes:
        chunk = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Unbuffered, each small response waits for the acknowledgement of its header.
    wbufsize = 1 << 16

    def send_head(self) -> Any:
        """Send the header of a response; returns its body."""
        # Hidden files are partial downloads.
        if any(part.startswith(".") for part in self.path.split("/")):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        path = Path(self.translate_path(self.path))
        requested = RANGE.fullmatch(self.headers.get("Range", ""))
        if requested is None or not path.is_file():
            return super().send_head()
        size = path.stat().st_size
        first, last = int(requested[1]), min(int(requested[2] or size - 1), size - 1)
        if first > last:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = path.open("rb")
        file.seek(first)
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        return _Part(file, last - first + 1)

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log only errors."""
        if isinstance(code, int) and code >= HTTPStatus.BAD_REQUEST:
            super().log_request(code, size)

    def log_error(self, format: str, *args: Any) -> None:
        """Log nothing: log_request has logged it."""


def server(folder: Path, bind: str, port: int) -> ThreadingHTTPServer:
    """A server of the mirror in `folder` that listens but does not respond yet; on any free port if `port` is 0.

    Raises UsageError if the folder is not a mirror, IngotError if the address is not available.
    """
    if not any((folder / name).is_dir() for name in ("debian/dists", "vendors", "files")):
        raise UsageError("not a mirror", place=str(folder), hint="make one with `ingot mirror DIR`")
    try:
        return ThreadingHTTPServer((bind, port), partial(_Handler, directory=os.fspath(folder)))
    except (OSError, OverflowError) as error:
        raise IngotError(f"cannot listen on {bind}:{port}: {error}", hint="choose another --port or --bind") from None

"""The faults of vendors, in one table, and the web server that answers with them."""

import os
from collections.abc import Callable
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from threading import Event
from typing import Any

import pytest

from tests.serving import Folder

# path -> what is answered instead, once for each entry: a status, how the file is spoilt, another content, or something
# that happens while no answer comes.
Fault = int | str | bytes | Callable[[], None]
Faults = dict[str, list[Fault]]
# Seconds for which a slow host says nothing in the middle of a file.
SLOW = 3
# What a role refuses, by the name that the table of faults has for it: an answer instead of a file.
ANSWERS: dict[str, Fault] = {"404": 404, "403": 403, "altered": "altered", "truncated": "truncated"}
# What passes by itself, so that a role asks again; a slow host answers in the end, and nobody asks after that.
PASSING: dict[str, Fault] = {"500": 500, "reset": "reset", "slow": "slow"}
# Of a vendor's key and signatures, of packages that are gone, and of the machine itself.
SIGNED, VANISHED, MACHINE = ("key", "signer", "expired"), ("vanished",), ("lock", "full", "killed")
# As the table is printed.
FAULTS = ["404", "403", "500", "altered", "truncated", *SIGNED, *VANISHED, "slow", "reset", *MACHINE]


def answers(*names: str) -> list[Any]:
    """Answers as values of a test's parameter; all but `altered` are for `make test-all` alone."""
    slow = pytest.mark.slow
    return [pytest.param(ANSWERS[name], id=name, marks=() if name == "altered" else slow) for name in names]


class Handler(Folder):
    """Serves a folder, with the faults that a test wants."""

    def __init__(self, *args: object, faults: Faults, directory: str) -> None:
        self._faults = faults
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer as the next fault of the path says, or as it should be."""
        queue = next((faults for path, faults in self._faults.items() if faults and self.path.endswith(path)), None)
        if queue is None:
            super().do_GET()
            return
        fault = queue.pop(0)
        if isinstance(fault, int):
            self.send_error(fault)
        elif callable(fault):
            fault()
            self._reset()
        else:
            self._spoil(fault)

    def _spoil(self, fault: str | bytes) -> None:
        content = fault if isinstance(fault, bytes) else Path(self.translate_path(self.path)).read_bytes()
        middle = len(content) // 2
        first, rest = content[:middle], content[middle:]
        if fault == "altered":
            rest = (b"B" if rest[:1] == b"A" else b"A") + rest[1:]
        elif fault == "truncated":
            rest = b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(first) + len(rest)))
        self.end_headers()
        self.wfile.write(first)
        if fault == "reset":
            self._reset()
            return
        if fault == "slow":
            Event().wait(SLOW)
        self.wfile.write(rest)

    def _reset(self) -> None:
        """End the connection as a host that has died does."""
        self.connection.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        os.close(self.connection.detach())

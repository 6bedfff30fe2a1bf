"""Measures this machine bare, beside a build: how fast its processor and disk are while the build runs."""

import os
import time
import zlib
from pathlib import Path

# Work that takes about half a second: compress so many bytes, and write so many.
COMPRESSED, WRITTEN = 16 << 20, 64 << 20
BLOCK = bytes(range(256)) * 4096


class Bare:
    """Seconds for the same bare work, measured now and each time that `again` is called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: dict[str, list[float]] = {"processor": [], "disk": []}
        self.again()

    def again(self) -> None:
        """Measure the processor, and the disk of the folder."""
        for name, work in (("processor", self._compress), ("disk", self._write)):
            began = time.monotonic()
            work()
            self._taken[name].append(time.monotonic() - began)

    def _compress(self) -> None:
        for _ in range(COMPRESSED // len(BLOCK)):
            zlib.compress(BLOCK, 6)

    def _write(self) -> None:
        path = self._folder / ".bare"
        try:
            with path.open("wb", buffering=0) as file:
                for _ in range(WRITTEN // len(BLOCK)):
                    file.write(BLOCK)
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    @property
    def seconds(self) -> dict[str, float]:
        """The mean of what was measured, by name."""
        return {name: round(sum(taken) / len(taken), 4) for name, taken in self._taken.items()}

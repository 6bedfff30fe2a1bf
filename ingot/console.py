"""Shows progress on standard error: one live line on a terminal; elsewhere a line per step, and one while it takes."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

# The width of tables without a terminal, as in a file or a pipe.
WIDTH = 160
# On a plain log, such as CI's, nobody waits longer than this for a line.
QUIET_SECONDS = 20
err = Console(stderr=True, highlight=False)
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds: `4:07`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@dataclass(frozen=True)
class Span:
    """A piece of work: when it began, in seconds since the whole began, and how long it took; `within` is the phase
    that it is a part of, if it is none itself."""

    name: str
    begin: float
    seconds: float
    within: str = ""


class Progress:
    """The phases of one piece of work; `seconds` holds how long each took, by name, and `spans` when each ran.

    `began` is the time at which the whole began, in seconds since 1970.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.spans: list[Span] = []
        self.began = time.time()
        self._quiet = quiet
        self._start = time.monotonic()
        self._phase = ""
        self._doing = ""
        self._live: Status | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that a phase is running, and how long it took once it is done."""
        began = time.monotonic()
        self._phase, self._doing = name, ""
        over = threading.Event()
        if not self._quiet and err.is_terminal:
            self._live = err.status(name)
            self._live.start()
        elif not self._quiet:
            threading.Thread(target=self._remind, args=(over, began), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            if self._live is not None:
                self._live.stop()
                self._live = None
            self.seconds[name] = time.monotonic() - began
            self.spans.append(Span(name, began - self._start, self.seconds[name]))
        self.note(f"{name}: {self.seconds[name]:.1f} s")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Note how long a part of the current phase takes; parts may run side by side, in threads."""
        began, within = time.monotonic(), self._phase
        try:
            yield
        finally:
            self.spans.append(Span(name, began - self._start, time.monotonic() - began, within))

    def _remind(self, over: threading.Event, began: float) -> None:
        """Print what is running, and for how long, every QUIET_SECONDS until the phase is over."""
        while not over.wait(QUIET_SECONDS):
            what = " · ".join(part for part in (self._phase, self._doing) if part)
            self.note(f"{what}, for {clock(time.monotonic() - began)}")

    def tell(self, text: str) -> None:
        """Show what the current phase is doing: at once on a terminal, with the next line of a plain log."""
        self._doing = text
        if self._live is not None:
            elapsed = clock(time.monotonic() - self._start)
            self._live.update(f"{self._phase} · {text} · {elapsed}")

    def note(self, text: str) -> None:
        """Print a line that stays on screen."""
        if not self._quiet:
            err.print(f"[{clock(time.monotonic() - self._start)}] {text}", markup=False)

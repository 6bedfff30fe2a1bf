"""Shows progress on standard error: a live line on a terminal, lines per step elsewhere, or lines for programs."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

# The width of tables without a terminal, as in a file or a pipe.
WIDTH = 160
# On a plain log, such as CI's, nobody waits longer than this for a line.
QUIET_SECONDS = 20
# Programs get no more than one line in this time for changes within a phase.
EVENT_SECONDS = 1.0
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

    `began` is the time at which the whole began, in seconds since 1970. With `events`, what is not for a terminal is
    written for programs: one JSON object per line.
    """

    def __init__(self, *, quiet: bool = False, events: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.spans: list[Span] = []
        self.began = time.time()
        self._quiet = quiet
        self._events = events and not err.is_terminal
        self._start = self._phase_start = self._said = time.monotonic()
        self._phase = ""
        self._doing: dict[str, str] = {}
        self._live: Status | None = None
        self._expected: dict[str, float] = {}

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Count on the phases taking as long as these, by name, as they did last time."""
        self._expected = dict(seconds)

    def left(self) -> float | None:
        """The seconds that are left in the current phase and in those to come; None if nothing is known of them."""
        coming = {name: taken for name, taken in self._expected.items() if name not in self.seconds}
        current = coming.pop(self._phase, 0.0) - (time.monotonic() - self._phase_start)
        return max(0.0, current) + sum(coming.values()) if self._expected else None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that a phase is running, and how long it took once it is done."""
        began = self._phase_start = time.monotonic()
        self._phase, self._doing = name, {}
        if name in self._expected:
            # What came before it last time, and does not this time, is not to come.
            names = list(self._expected)
            self._expected = {later: self._expected[later] for later in names[names.index(name) :]}
        over = threading.Event()
        if self._events:
            self._event("begin", left_seconds=self._left_seconds())
        if not self._quiet and err.is_terminal:
            self._live = err.status(name)
            self._live.start()
        elif not self._quiet:
            threading.Thread(target=self._remind, args=(over,), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            if self._live is not None:
                self._live.stop()
                self._live = None
            self.seconds[name] = time.monotonic() - began
            self.spans.append(Span(name, began - self._start, self.seconds[name]))
        if self._events:
            self._event("end", phase_seconds=round(self.seconds[name], 1))
        else:
            self.note(f"{name}: {self.seconds[name]:.1f} s")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Note how long a part of the current phase takes; parts may run side by side, in threads."""
        began, within = time.monotonic(), self._phase
        try:
            yield
        finally:
            self.spans.append(Span(name, began - self._start, time.monotonic() - began, within))

    def _remind(self, over: threading.Event) -> None:
        """Print what is running, for how long, and what is left every QUIET_SECONDS until the phase is over."""
        while not over.wait(QUIET_SECONDS):
            if self._events:
                self._progress()
                continue
            what = " · ".join(part for part in (self._phase, self._doing.get("doing", "")) if part)
            self.note(f"{what}, for {clock(time.monotonic() - self._phase_start)}{self._about()}")

    def _about(self) -> str:
        left = self.left()
        return f", about {clock(left)} left" if left else ""

    def tell(self, text: str, **facts: str) -> None:
        """Show what the current phase is doing: at once on a terminal, with the next line of a plain log.

        `facts` are the same for programs, which get a line at once unless the last one is less than a second old.
        """
        self._doing = {"doing": text, **facts}
        if self._live is not None:
            self._live.update(f"{self._phase} · {text} · {clock(time.monotonic() - self._start)}{self._about()}")
        if self._events and time.monotonic() - self._said >= EVENT_SECONDS:
            self._progress()

    def note(self, text: str) -> None:
        """Print a line that stays on screen."""
        if self._events:
            self._event("note", text=text)
        elif not self._quiet:
            err.print(f"[{clock(time.monotonic() - self._start)}] {text}", markup=False)

    def _left_seconds(self) -> float | None:
        left = self.left()
        return None if left is None else round(left, 1)

    def _progress(self) -> None:
        taken = round(time.monotonic() - self._phase_start, 1)
        said = {"doing": "", **self._doing}
        self._event("progress", **said, phase_seconds=taken, left_seconds=self._left_seconds())

    def _event(self, event: str, **facts: object) -> None:
        """Write one line for programs."""
        if self._quiet:
            return
        self._said = time.monotonic()
        line = {"event": event, "phase": self._phase, "elapsed_seconds": round(self._said - self._start, 1), **facts}
        err.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        err.file.flush()

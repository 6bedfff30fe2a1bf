"""Follows the progress events that the Ansible callback writes during a build, and sums them up."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.errors import IngotError

POLL_SECONDS = 0.2
# Tasks that take less are summed up by role alone.
SLOW_SECONDS = 1.0


@dataclass
class Stretch:
    """Tasks of one role in a row: when the first began, in seconds since 1970, and how long all of them took."""

    role: str
    begin: float
    seconds: float = 0.0


@dataclass
class SlowTask:
    """A task that took SLOW_SECONDS or more."""

    role: str
    task: str
    begin: float
    seconds: float


@dataclass
class Converge:
    """The sum of the events: seconds per role, when each ran, slow tasks, the failure if there was one, and Ansible's
    final counts."""

    roles: dict[str, float] = field(default_factory=dict)
    stretches: list[Stretch] = field(default_factory=list)
    slow: list[SlowTask] = field(default_factory=list)
    failure: dict[str, Any] | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def explained(self, log: Path) -> IngotError | None:
        """The failure as an error that quotes its message, if there was one."""
        if self.failure is None:
            return None
        subject = f"role {self.failure['role']}" if self.failure["role"] else "the play"
        lines = "\n  ".join(str(self.failure.get("message", "")).strip().splitlines()[-15:])
        return IngotError(f"{subject} failed at “{self.failure['task']}”\n  {lines}", hint=f"full log: {log}")


class Follower:
    """Reads the events file while it grows; calls `tell` with a line for the user, role and task at each new task."""

    def __init__(self, path: Path, roles: list[str], tell: Callable[..., None]) -> None:
        self.converge = Converge()
        self._path = path
        self._roles = roles
        self._tell = tell
        self._begun = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Follower":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._path.open() as file:
            rest = ""
            while True:
                ending = self._stop.is_set()
                *lines, rest = (rest + file.read()).split("\n")
                for line in lines:
                    self._take(json.loads(line))
                if ending:
                    return
                self._stop.wait(POLL_SECONDS)

    def _take(self, event: dict[str, Any]) -> None:
        role = event.get("role") or ""
        if event["event"] == "task_start":
            self._begun = event["time"]
            number = self._roles.index(role) + 1 if role in self._roles else 0
            text = f"role {number}/{len(self._roles)} {role} · {event['task']}" if number else event["task"]
            self._tell(text, role=role, task=event["task"])
        elif event["event"] == "task_end":
            self._add(role, event["task"], event["seconds"])
            if event["status"] == "failed":
                self.converge.failure = event
        elif event["event"] == "stats":
            self.converge.counts = {key: value for key, value in event.items() if isinstance(value, int)}

    def _add(self, role: str, task: str, seconds: float) -> None:
        """Count a task that has ended."""
        converge = self.converge
        converge.roles[role] = converge.roles.get(role, 0.0) + seconds
        if not converge.stretches or converge.stretches[-1].role != role:
            converge.stretches.append(Stretch(role, self._begun))
        # With what Ansible did between its tasks.
        converge.stretches[-1].seconds = self._begun + seconds - converge.stretches[-1].begin
        if seconds >= SLOW_SECONDS:
            converge.slow.append(SlowTask(role, task, self._begun, seconds))

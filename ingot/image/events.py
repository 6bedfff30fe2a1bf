"""Follows the progress events that the Ansible callback writes during a build, and sums them up."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.errors import IngotError

POLL_SECONDS = 0.2


@dataclass
class Converge:
    """The sum of the events: seconds per role, the failure if there was one, and Ansible's final counts."""

    roles: dict[str, float] = field(default_factory=dict)
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
    """Reads the events file while it grows; calls `tell` with a line for the user at each new task."""

    def __init__(self, path: Path, roles: list[str], tell: Callable[[str], None]) -> None:
        self.converge = Converge()
        self._path = path
        self._roles = roles
        self._tell = tell
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
            number = self._roles.index(role) + 1 if role in self._roles else 0
            self._tell(f"role {number}/{len(self._roles)} {role} · {event['task']}" if number else event["task"])
        elif event["event"] == "task_end":
            self.converge.roles[role] = self.converge.roles.get(role, 0.0) + event["seconds"]
            if event["status"] == "failed":
                self.converge.failure = event
        elif event["event"] == "stats":
            self.converge.counts = {key: value for key, value in event.items() if isinstance(value, int)}

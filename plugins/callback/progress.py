"""Callback: writes what Ansible is doing as JSON lines, for a program that shows progress."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
author: Ingot (!UNKNOWN)
type: aggregate
short_description: Progress as JSON lines
description:
  - Appends one line per start and end of a task, and one for the final counts.
  - A task counts for the role of this collection that the play names, even if it is from the internal role
    C(component).
requirements:
  - enabled in configuration (C(ANSIBLE_CALLBACKS_ENABLED=ingot.ml.progress))
options:
  path:
    description: The file to append to. Without it, nothing is written.
    type: path
    env:
      - name: INGOT_EVENTS
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

COLLECTION = "ingot.ml"
INTERNAL = {"component"}
TAIL = 2000


def role_of(task: Any) -> str:
    """The outermost role of this collection around `task`, without the collection's name; empty if there is none."""
    name, node = "", task
    while node is not None:
        role = getattr(node, "_role", None)
        if role is not None:
            collection, own = role.get_name().rpartition(".")[::2]
            if collection in (COLLECTION, "") and own not in INTERNAL:
                name = own
        node = getattr(node, "_parent", None)
    return name


def message_of(result: dict[str, Any]) -> str:
    """The message of a failed task, with the end of its output."""
    parts = [result.get("msg"), result.get("stderr") or result.get("module_stderr")]
    parts.append(result.get("stdout") or result.get("module_stdout"))
    parts += [f"{item.get('item')}: {message_of(item)}" for item in result.get("results", []) if item.get("failed")]
    return "\n".join(str(part).strip()[-TAIL:] for part in parts if part)


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "ingot.ml.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._path: str | None = None
        self._started: dict[str, tuple[str, float]] = {}

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self._path = self.get_option("path")

    def _write(self, event: str, **facts: Any) -> None:
        if self._path:
            with Path(self._path).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **facts}) + "\n")

    def _start(self, task: Any) -> None:
        # Only now are the templates in the name rendered.
        name = task.name or task.action
        self._started[task._uuid] = (name, time.monotonic())
        self._write("task_start", role=role_of(task), task=name, time=time.time())

    def _end(self, outcome: Any, status: str, **facts: Any) -> None:
        task, now = outcome._task, time.monotonic()
        name, started = self._started.get(task._uuid, (task.name or task.action, now))
        # A task on several hosts ends several times: each end counts from the previous one.
        self._started[task._uuid] = (name, now)
        seconds = round(now - started, 3)
        self._write("task_end", role=role_of(task), task=name, status=status, seconds=seconds, **facts)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._start(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._start(task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._end(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._end(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if ignore_errors:
            self._end(result, "ok")
        else:
            self._end(result, "failed", message=message_of(result._result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._end(result, "failed", message=message_of(result._result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        totals = dict.fromkeys(("ok", "changed", "failures", "skipped"), 0)
        for host in stats.processed:
            summary = stats.summarize(host)
            totals = {name: count + summary[name] for name, count in totals.items()}
            totals["failures"] += summary["unreachable"]
        self._write("stats", **totals)

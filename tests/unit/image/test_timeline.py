"""A report says when each piece of a build ran, and which pieces the whole waited for."""

import json
from pathlib import Path
from typing import Any

from ingot.console import Progress, Span
from ingot.image.events import Follower
from ingot.image.timeline import critical, of_kind, timeline


def span(kind: str, name: str, begin: float, end: float, within: str = "") -> dict[str, Any]:
    return {"kind": kind, "name": name, "begin": begin, "seconds": end - begin, "within": within}


def test_of_pieces_side_by_side_the_last_to_end_is_on_the_critical_path() -> None:
    spans = [
        span("phase", "base", 0, 10),
        span("phase", "disk and suite", 10, 40),
        span("part", "disk", 10, 25, "disk and suite"),
        span("part", "suite", 10, 40, "disk and suite"),
        span("phase", "boot", 40, 70),
    ]
    assert [(step["name"], step["seconds"]) for step in critical(spans)] == [("base", 10), ("suite", 30), ("boot", 30)]


def test_time_between_the_roles_of_a_phase_counts_for_the_phase() -> None:
    spans = [
        span("phase", "converge", 0, 60),
        span("role", "kernel", 5, 20, "converge"),
        span("role", "efa", 20, 45, "converge"),
        span("task", "Install", 6, 19, "kernel"),
    ]
    steps = [(step["name"], step["seconds"]) for step in critical(spans)]
    assert steps == [("converge", 5), ("kernel", 15), ("efa", 25), ("converge", 15)]
    assert sum(seconds for _, seconds in steps) == 60


def test_events_of_a_converge_become_stretches_of_roles_and_slow_tasks(tmp_path: Path) -> None:
    progress = Progress(quiet=True)
    progress.spans.append(Span("converge", 0.0, 30.0))
    ran = [
        ("kernel", "Install", 0, 9.0),
        ("kernel", "Check", 9.5, 0.5),
        ("", "Copy", 10, 0.1),
        ("kernel", "Hold", 11, 2),
    ]
    events = tmp_path / "events.jsonl"
    with Follower(events, ["kernel"], lambda *_, **__: None) as follower, events.open("a") as file:
        for role, task, begin, seconds in ran:
            start = {"event": "task_start", "role": role, "task": task, "time": progress.began + begin}
            end = {"event": "task_end", "role": role, "task": task, "seconds": seconds, "status": "ok"}
            file.write(f"{json.dumps(start)}\n{json.dumps(end)}\n")
    spans = timeline(progress, follower.converge, "converge")
    roles = [(each["name"], each["begin"], each["seconds"]) for each in of_kind(spans, "role")]
    assert roles == [("kernel", 0, 10), ("play", 10, 0.1), ("kernel", 11, 2)]
    tasks = [(each["within"], each["name"], each["seconds"]) for each in of_kind(spans, "task")]
    assert tasks == [("kernel", "Install", 9), ("kernel", "Hold", 2)]
    assert follower.converge.roles == {"kernel": 11.5, "": 0.1}


def test_a_clock_that_was_set_back_gives_no_time_before_the_beginning(tmp_path: Path) -> None:
    progress = Progress(quiet=True)
    events = tmp_path / "events.jsonl"
    with Follower(events, ["kernel"], lambda *_, **__: None) as follower, events.open("a") as file:
        for event in ({"event": "task_start", "time": progress.began - 3600}, {"event": "task_end", "seconds": 2.0}):
            file.write(json.dumps({"role": "kernel", "task": "Install", "status": "ok", **event}) + "\n")
    assert {each["begin"] for each in timeline(progress, follower.converge, "converge")} == {0}

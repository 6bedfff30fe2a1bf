"""Long work says what it does and what is left: to people, on a plain log, too, and to programs."""

import io
import json
import re
import time
from typing import Any

import pytest
from rich.console import Console

from ingot import console

DEADLINE_SECONDS = 60


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error that is no terminal; a reminder comes at once."""
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, highlight=False, width=console.WIDTH))
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.01)
    return written


def wait_for(pattern: str, log: io.StringIO) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not re.search(pattern, log.getvalue()):
        assert time.monotonic() < deadline, f"{pattern!r} is not in the log, which ends in {log.getvalue()[-200:]!r}"
        time.sleep(0.005)


def test_a_plain_log_says_what_runs_while_it_takes(log: io.StringIO) -> None:
    progress = console.Progress()
    with progress.phase("converge"):
        wait_for("converge, for 0:00", log)
        progress.tell("role efa: compile the module")
        wait_for("role efa", log)
    lines = log.getvalue().splitlines()
    assert "[0:00] converge, for 0:00" in lines
    assert any("converge · role efa: compile the module, for 0:0" in line for line in lines)
    assert lines[-1].startswith("[0:00] converge: ")


def test_a_plain_log_says_what_is_left_as_the_last_build_took(log: io.StringIO) -> None:
    progress = console.Progress()
    progress.expect({"base": 5.0, "converge": 100.0, "boot": 50.0})
    with progress.phase("base"):
        pass
    with progress.phase("converge"):
        wait_for(r"converge, for \d:\d\d, about 2:[012]\d left", log)
    with progress.phase("boot"):
        wait_for(r"boot, for \d:\d\d, about 0:[01234]\d left", log)


def test_what_takes_longer_than_in_the_last_build_leaves_the_phases_to_come() -> None:
    progress = console.Progress(quiet=True)
    assert progress.left() is None
    progress.expect({"converge": 0.0, "boot": 50.0})
    with progress.phase("converge"):
        assert progress.left() == pytest.approx(50.0)
    with progress.phase("new"):
        assert progress.left() == pytest.approx(50.0)


def test_what_the_last_build_did_before_and_this_one_does_not_is_not_left() -> None:
    progress = console.Progress(quiet=True)
    progress.expect({"record": 300.0, "base": 5.0, "converge": 100.0})
    with progress.phase("base"):
        assert progress.left() == pytest.approx(105.0, abs=1)


def test_programs_get_every_step_as_a_line_of_json(log: io.StringIO) -> None:
    progress = console.Progress(events=True)
    progress.expect({"converge": 100.0})
    with progress.phase("converge"):
        progress.tell("role 1/2 efa · Build", role="efa", task="Build")
        wait_for('"doing": "role 1/2 efa · Build"', log)
        progress.note("a package [was] “refreshed”")
    events: list[dict[str, Any]] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (events[0]["event"], events[0]["phase"]) == ("begin", "converge")
    assert events[0]["left_seconds"] == pytest.approx(100, abs=1)
    running = next(event for event in events if event["event"] == "progress" and event["doing"])
    assert (running["phase"], running["role"], running["task"]) == ("converge", "efa", "Build")
    assert {"elapsed_seconds", "phase_seconds", "left_seconds"} <= running.keys()
    note, end = events[-2:]
    assert (note["event"], note["text"]) == ("note", "a package [was] “refreshed”")
    assert (end["event"], end["phase"]) == ("end", "converge")
    assert end["phase_seconds"] >= 0


def test_many_changes_in_a_second_are_one_line_for_programs(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "QUIET_SECONDS", 60)
    progress = console.Progress(events=True)
    with progress.phase("artifacts"):
        for done in range(1000):
            progress.tell(f"{done} of 1000 MiB")
    assert sum(json.loads(line)["event"] == "progress" for line in log.getvalue().splitlines()) <= 5


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = console.Progress(quiet=True)
    with progress.phase("build"):
        progress.tell("role efa")
    assert capsys.readouterr() == ("", "")
    assert list(progress.seconds) == ["build"]

"""Long work says what it does: on a plain log, too, where nobody waits for a line."""

import io
import time

import pytest
from rich.console import Console

from ingot import console


def test_a_plain_log_says_what_runs_while_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=log, highlight=False, width=console.WIDTH))
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.01)
    progress = console.Progress()
    deadline = time.monotonic() + 60
    with progress.phase("converge"):
        while "converge, for 0:00" not in log.getvalue() and time.monotonic() < deadline:
            time.sleep(0.005)
        progress.tell("role efa: compile the module")
        while "role efa" not in log.getvalue() and time.monotonic() < deadline:
            time.sleep(0.005)
    lines = log.getvalue().splitlines()
    assert "[0:00] converge, for 0:00" in lines
    assert any("converge · role efa: compile the module, for 0:0" in line for line in lines)
    assert lines[-1].startswith("[0:00] converge: ")


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = console.Progress(quiet=True)
    with progress.phase("build"):
        progress.tell("role efa")
    assert capsys.readouterr() == ("", "")
    assert list(progress.seconds) == ["build"]

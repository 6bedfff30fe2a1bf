"""What Ingot starts is seen to its end, also when the user stops it meanwhile."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot import run as running
from ingot.errors import IngotError
from ingot.run import container, containers, remove

# Whoever asks for a container is stopped before it is there.
DOCKER = """#!/bin/sh
case $1 in
create | run) kill -USR1 $PPID; echo made >>"$0.said" ;;
*) echo "$*" >>"$0.said" ;;
esac
"""


class Stopped(BaseException):
    """The signal has arrived."""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], list[str]]]:
    """Put a program in Docker's place; what it returns reads the lines that the program has noted."""

    def install(script: str) -> Callable[[], list[str]]:
        program = tmp_path / "docker"
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        noted = tmp_path / "docker.said"
        return lambda: noted.read_text().splitlines() if noted.exists() else []

    return install


@pytest.mark.parametrize("running", [True, False])
def test_a_container_is_gone_when_making_it_was_stopped(
    docker: Callable[[str], Callable[[], list[str]]], running: bool
) -> None:
    noted = docker(DOCKER)

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stopped), container("an/image", "name", running=running):
            pytest.fail("it was stopped before")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert noted() == ["made", "rm --force --volumes name"]


@pytest.mark.parametrize("started", [True, False])
def test_a_container_is_gone_when_the_signal_came_while_a_thread_was_started(
    docker: Callable[[str], Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    noted = docker(DOCKER.replace("kill -USR1 $PPID", "sleep 0.3"))
    start = threading.Thread.start
    threads: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        if started:
            start(thread)
        raise Stopped

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(Stopped), container("an/image", "name"):
        pytest.fail("it was stopped before")
    for thread in threads:
        if started:
            thread.join()
    assert noted()[-1] == "rm --force --volumes name"


@pytest.mark.parametrize("reason", running.PASSING)
def test_a_container_that_is_being_removed_already_is_waited_for(
    docker: Callable[[str], Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(running, "POLL_SECONDS", 0)
    noted = docker(
        f'#!/bin/sh\necho "$*" >>"$0.said"\n'
        f'[ "$(wc -l <"$0.said")" -gt 2 ] || {{ echo "Error: removal of container a {reason}" >&2; exit 1; }}\n'
    )
    remove("a", "b")
    assert noted() == ["rm --force --volumes a b"] * 3


def test_a_container_that_cannot_be_removed_is_an_error_at_once(
    docker: Callable[[str], Callable[[], list[str]]],
) -> None:
    noted = docker('#!/bin/sh\necho "$*" >>"$0.said"\necho "permission denied" >&2\nexit 1\n')
    with pytest.raises(IngotError, match="permission denied"):
        remove("a")
    assert len(noted()) == 1


def test_a_removal_that_never_ends_is_an_error(
    docker: Callable[[str], Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "REMOVAL_SECONDS", 0)
    docker(f'#!/bin/sh\necho "removal of container a {running.PASSING[0]}" >&2\nexit 1\n')
    with pytest.raises(IngotError, match="already in progress"):
        remove("a")


def test_containers_are_listed_by_the_beginning_of_their_name(
    docker: Callable[[str], Callable[[], list[str]]],
) -> None:
    noted = docker('#!/bin/sh\necho "$*" >>"$0.said"\nprintf "x-a\\nx-b\\n"\n')
    assert containers("x-") == ["x-a", "x-b"]
    assert noted() == ["ps --all --filter name=^x- --format {{.Names}}"]

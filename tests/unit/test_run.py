"""What Ingot starts is seen to its end, also when the user stops it meanwhile."""

import signal
from pathlib import Path

import pytest

from ingot.run import container

# Whoever asks for a container is stopped before it is there.
DOCKER = """#!/bin/sh
case $1 in
create | run) kill -USR1 $PPID; echo made >>"$0.said" ;;
*) echo "$*" >>"$0.said" ;;
esac
"""


class Stopped(BaseException):
    """The signal has arrived."""


@pytest.mark.parametrize("running", [True, False])
def test_a_container_is_gone_when_making_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stopped), container("an/image", "name", running=running):
            pytest.fail("it was stopped before")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (tmp_path / "docker.said").read_text().splitlines() == ["made", "rm --force --volumes name"]

"""A build waits for the Packer of one that was killed, and finds nothing of it in the temporary folder."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingot import paths
from ingot.errors import IngotError
from ingot.image import packer
from ingot.image.packer import PackerError, packer_build, wait_for_killed

# Cleans up after a signal until it is let go; it stops by itself when its folder goes.
PACKER = """#!/bin/sh
trap '' TERM INT
echo private >"$TMPDIR/ansible-key"
echo "$TMPDIR" >{folder}/begun.new
mv {folder}/begun.new {folder}/begun
while [ -d {folder} ] && [ ! -e {folder}/go ]; do sleep 0.05; done
touch {folder}/ended
"""
BUILD = """
from pathlib import Path
from ingot.image import packer
packer.ensure_packer = lambda: Path("{folder}/packer")
packer.packer_build("docker.image", {{}}, log=Path("{folder}/out/build.log"))
"""


def wait_until(condition: Callable[[], object]) -> None:
    tick = threading.Event()
    for _ in range(600):
        if condition():
            return
        tick.wait(0.05)
    pytest.fail("it did not happen")


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a build that was killed, whose Packer still cleans up."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "out").mkdir()
    program = tmp_path / "packer"
    program.write_text(PACKER.format(folder=tmp_path))
    program.chmod(0o755)
    build = subprocess.Popen([sys.executable, "-c", BUILD.format(folder=tmp_path)])
    try:
        wait_until((tmp_path / "begun").exists)
        build.send_signal(signal.SIGKILL)
        build.wait()
        yield tmp_path
    finally:
        build.kill()
        (tmp_path / "go").touch()


def test_the_next_build_waits_for_the_packer_of_a_killed_one_and_says_so(killed: Path) -> None:
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        assert not (killed / "ended").exists()
        (killed / "go").touch()

    wait_for_killed(killed / "out", note)
    assert (killed / "ended").exists()
    assert notes == ["waiting for Packer of a killed build to clean up"]


def test_a_packer_that_does_not_end_is_an_error_that_says_where_it_runs(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "HELD_SECONDS", 0)
    with pytest.raises(IngotError, match="a program of a killed build is still running") as caught:
        wait_for_killed(killed / "out", lambda _: None)
    assert caught.value.place == str(killed / "out")


def test_keys_of_a_killed_build_stay_while_its_packer_runs_and_go_with_the_next_run(killed: Path) -> None:
    key = Path((killed / "begun").read_text().strip(), "ansible-key")
    with paths.temporary():
        assert key.exists()
    (killed / "go").touch()
    wait_for_killed(killed / "out", lambda _: None)
    with paths.temporary():
        assert not key.exists()


@pytest.fixture
def packer_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Lets a shell script be Packer; returns the log of its build."""

    def script(text: str) -> Path:
        program, log = tmp_path / "packer", tmp_path / "out" / "build.log"
        log.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        monkeypatch.setattr(packer, "ensure_packer", lambda: program)
        return log

    return script


def test_packer_keeps_its_temporary_files_in_a_folder_that_goes_with_it(packer_that: Callable[[str], Path]) -> None:
    log = packer_that('echo "$TMPDIR"\ntouch "$TMPDIR/ansible-key"')
    packer_build("docker.image", {}, log=log)
    folder = Path(log.read_text().strip())
    assert folder.name.startswith(paths.TEMPORARY)
    assert not folder.exists()


@pytest.mark.parametrize("options", [[packer.DEBUG], []])
def test_with_debug_the_output_is_shown_and_logged_else_only_logged(
    packer_that: Callable[[str], Path], capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    log = packer_that("printf 'Press enter: '\nsleep 0.2\necho to standard error >&2")
    packer_build("docker.image", {}, log=log, options=options)
    said = "Press enter: to standard error\n"
    assert log.read_text() == said
    assert capsys.readouterr().err == (said if options else "")


def test_what_packer_has_said_is_in_the_error_and_nothing_of_an_earlier_run(packer_that: Callable[[str], Path]) -> None:
    log = packer_that("seq 40\nexit 3")
    log.write_text("an earlier run\n")
    with pytest.raises(PackerError, match=r"Packer failed \(exit 3\)\n  26\n") as caught:
        packer_build("docker.image", {}, log=log)
    assert caught.value.said == "".join(f"{number}\n" for number in range(1, 41))
    assert str(log) in caught.value.hint

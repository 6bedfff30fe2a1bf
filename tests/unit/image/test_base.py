"""Bases of several checkouts stand side by side, and what a killed run leaves goes with the next one."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot import paths
from ingot.image import base
from ingot.lock import file as locks

MMDEBSTRAP = """#!/bin/sh
mkdir "$TMPDIR/mmdebstrap.1"
touch "$TMPDIR/mmdebstrap.1/file"
echo "$TMPDIR" >{folder}/begun.new
mv {folder}/begun.new {folder}/begun
while [ -d {folder} ] && [ ! -e {folder}/go ]; do sleep 0.05; done
"""
RUN = """
from pathlib import Path
from ingot.image import base
from ingot.sources import origins
base._find = lambda *_: {{}}
base.KEYRINGS = [Path("/")]
none = type("Archives", (), {{"sources": lambda *_: []}})
origins.bootstrap_archives = origins.machine_archives = none
base.ensure_tools(Path("{folder}/disk-tools/tools.yml"), log=Path("{folder}/log"))
"""


def wait_until(condition: Callable[[], object]) -> None:
    tick = threading.Event()
    for _ in range(600):
        if condition():
            return
        tick.wait(0.05)
    pytest.fail("it did not happen")


def test_what_a_killed_run_leaves_stays_while_mmdebstrap_works_and_goes_with_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # As whoever runs the test, who may not be able to become root.
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "sudo").symlink_to("/bin/false")
    (tmp_path / "disk-tools").mkdir()
    (tmp_path / "disk-tools" / "tools.yml").write_text("suite: trixie\npackages: [parted]\n")
    program = tmp_path / "mmdebstrap"
    program.write_text(MMDEBSTRAP.format(folder=tmp_path))
    program.chmod(0o755)
    run = subprocess.Popen([sys.executable, "-c", RUN.format(folder=tmp_path)])
    try:
        wait_until((tmp_path / "begun").exists)
        run.send_signal(signal.SIGKILL)
        run.wait()
        left = Path((tmp_path / "begun").read_text().strip())
        with base.workspace():
            assert (left / "mmdebstrap.1" / "file").exists()
    finally:
        run.kill()
        (tmp_path / "go").touch()

    def next_run() -> bool:
        with base.workspace():
            return not left.exists()

    wait_until(next_run)


def test_a_checkout_with_another_recipe_does_not_take_the_name_of_a_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two checkouts on one machine make their bases, and all that is built on these, in turns."""
    lock = locks.load(paths.LOCKS / "2026.11" / "debian13-x86_64.yml")
    monkeypatch.setattr(base, "run", lambda *_, **__: "")
    monkeypatch.setattr(base, "_bootstrap", lambda *_: {"bash": lock.packages["bash"].version})
    tags = []
    for recipe in ("one", "another", "one"):
        (tmp_path / recipe).write_text(recipe)
        monkeypatch.setattr(base, "__file__", str(tmp_path / recipe))
        tags.append(base.ensure_base(lock, log=tmp_path / "log").tag)
    assert tags[0] == tags[2] != tags[1]

"""A build that fails or is stopped says why, leaves nothing running and nothing half-made, and can be run again."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.model.target import Target
from tests.commandline import command, ingot_process
from tests.e2e.image import IMAGE

pytestmark = [pytest.mark.docker, pytest.mark.qemu, pytest.mark.network]

STACK = read_catalog().newest_stack
LOCK = locks.path_of(Target(STACK, "debian13", "x86_64"))


def roles(checkout: Path, *names: str) -> None:
    """Let IMAGE be of these roles alone, so that it soon is where a test wants it."""
    path = checkout / "catalog" / "images.yml"
    rows = yaml.safe_load(path.read_text())
    rows["images"][IMAGE]["roles"] = list(names)
    path.write_text(yaml.safe_dump(rows))


def test_a_failing_role_is_named_with_its_task_its_last_words_and_the_log(
    checkout: Path, containers: Callable[[], list[str]]
) -> None:
    tasks = checkout / "roles" / "base" / "tasks" / "main.yml"
    broken = "- name: Break on purpose\n  ansible.builtin.command: sh -c 'echo out of order >&2; exit 3'\n"
    tasks.write_text(tasks.read_text().replace("---\n", f"---\n{broken}", 1))
    roles(checkout, "base", "kernel", "manifest")
    done = ingot_process("local", IMAGE, checkout=checkout)
    assert done.returncode == 1
    assert "role base failed at “Break on purpose”" in done.stderr
    assert "out of order" in done.stderr
    log = Path(done.stderr.rsplit("full log: ", 1)[1].strip())
    assert "out of order" in log.read_text()
    assert "Traceback" not in done.stderr
    assert containers() == []
    assert not (log.parent / "report.json").exists()


def test_a_component_that_is_not_as_declared_is_refused_before_a_disk_is_made(checkout: Path) -> None:
    facts = checkout / "plugins" / "module_utils" / "component_facts.py"
    text = facts.read_text()
    assert '"docker": _package(packages' in text
    facts.write_text(text.replace('"docker": _package(packages', '"docker": "0.1" or _package(packages'))
    roles(checkout, "base", "kernel", "docker", "manifest", "sysprep")
    done = ingot_process("local", IMAGE, checkout=checkout)
    assert done.returncode == 1
    assert "docker is 0.1, declared is" in done.stderr
    assert list((checkout / "build").glob("*/*/disk.raw")) == []


class Build:
    """A running build of a checkout, whose temporary files lie in `folder`, and what it says of its phases."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        words, env = (
            command("local", IMAGE, "--rebuild"),
            {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(checkout)},
        )
        self.process = subprocess.Popen(
            words, cwd=checkout, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self._said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self._said.append(line)
                self._more.notify_all()
        with self._more:
            self._said.append("")
            self._more.notify_all()

    def wait_for(self, phase: str) -> None:
        """Return when the phase has ended; fail when the build ends first."""
        with self._more:
            self._more.wait_for(lambda: any(f" {phase}: " in line or not line for line in self._said), timeout=900)
        assert any(f" {phase}: " in line for line in self._said), "".join(self._said)

    def stop(self, how: signal.Signals) -> str:
        """Send the signal; what the build has said when it has ended."""
        self.process.send_signal(how)
        self.process.wait(60)
        self._reader.join()
        return "".join(self._said)


@contextmanager
def building(checkout: Path) -> Iterator[Build]:
    """A build of the checkout, which is killed where the block does not end it."""
    # Not in the test's own folder, whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        running = Build(Path(folder), checkout)
        yield running
        running.process.kill()
        running.process.wait()


@pytest.fixture
def build() -> Iterator[Build]:
    with building(paths.ROOT) as running:
        yield running


def machines(checkout: Path = paths.ROOT) -> list[str]:
    """The QEMU processes that run a disk of this image."""
    disk = str(checkout / "build" / IMAGE)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu" in words[0] and any(disk.encode() in word for word in words):
            found.append(folder.name)
    return found


def remains(build: Build) -> set[str]:
    """Files of a build outside of what it leaves on purpose."""
    folders = [LOCK.parent, paths.ROOT / "build" / IMAGE / "debian13-x86_64"]
    found = {str(path) for folder in folders for path in folder.glob(".*")}
    return found | {str(path) for path in build.folder.iterdir()}


@pytest.mark.parametrize(
    ("after", "how"),
    [
        ("base", signal.SIGINT),
        pytest.param("converge", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("disk and suite on the image", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("boot", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_build_leaves_nothing(
    build: Build, after: str, how: signal.Signals, containers: Callable[[], list[str]], until: Callable[..., None]
) -> None:
    """Stopped in the phase that follows `after`, when that has begun its work."""
    before, lock = remains(build), LOCK.read_bytes()
    build.wait_for(after)
    until(lambda: containers() or machines())
    said = build.stop(how)
    assert build.process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert containers() == []
    assert machines() == []
    assert remains(build) - before <= {str(paths.ROOT / "build" / IMAGE / "debian13-x86_64" / ".lock")}
    assert LOCK.read_bytes() == lock


def test_what_a_killed_build_leaves_the_next_one_removes(
    containers: Callable[[], list[str]], until: Callable[..., None], checkout: Path
) -> None:
    with building(checkout) as build:
        build.wait_for("base")
        until(containers)
        build.process.send_signal(signal.SIGKILL)
        build.process.wait()
    # The next build of this image, which ends early because its first role is broken.
    tasks = checkout / "roles" / "base" / "tasks" / "main.yml"
    tasks.write_text("---\n- name: Break on purpose\n  ansible.builtin.fail:\n")
    roles(checkout, "base", "kernel")
    done = ingot_process("local", IMAGE, checkout=checkout)
    assert "Break on purpose" in done.stderr
    assert containers() == []


@pytest.mark.slow
def test_a_disk_that_a_killed_build_has_made_is_not_taken_for_the_one_that_passed(
    until: Callable[..., None], checkout: Path
) -> None:
    roles(checkout, "base", "kernel", "manifest", "sysprep")
    built = ingot_process("local", IMAGE, "--json", checkout=checkout)
    assert built.returncode == 0, built.stderr
    report = json.loads(built.stdout)
    assert "nothing has changed" in ingot_process("local", IMAGE, checkout=checkout).stdout.lower()
    with building(checkout) as build:
        build.wait_for("disk and suite on the image")
        until(lambda: machines(checkout))
        build.process.send_signal(signal.SIGKILL)
        build.process.wait()
        assert list(build.folder.glob("*/login"))
    again = json.loads(ingot_process("local", IMAGE, "--json", checkout=checkout).stdout)
    assert "unchanged" not in again
    assert again["docker_image"] != report["docker_image"]
    assert again["suite"]["machine"]["passed"] > 0


def test_two_builds_of_one_image_do_not_mix(build: Build) -> None:
    build.wait_for("set-up")
    done = ingot_process("local", IMAGE, "--rebuild")
    assert done.returncode == 1
    assert "another build is using" in done.stderr
    assert build.stop(signal.SIGINT)


@pytest.fixture
def until() -> Callable[..., None]:
    """Ask a condition again until it holds; fail after two minutes."""

    def wait(condition: Callable[[], object]) -> None:
        tick = threading.Event()
        for _ in range(600):
            if condition():
                return
            tick.wait(0.2)
        pytest.fail("the phase did not begin")

    return wait

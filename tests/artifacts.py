"""A pytest plugin: fixtures that build images and run containers with names of their own, gone when the test ends.

`--keep-artifacts on-failure|always` leaves them, and the end of the run names them; `t` is short for always.
"""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingot.container import buildkit

KEEP = ("never", "on-failure", "always")
REMOVE = {"container": ["rm", "--force", "--volumes"], "image": ["rmi"], "volume": ["volume", "rm"]}
FAILED = pytest.StashKey[bool]()
KEPT = "kept"
Artifact = Callable[[str, str], None]


def docker(*words: str | Path) -> str:
    """Run docker; what it prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-artifacts",
        type=lambda text: "always" if text == "t" else text,
        choices=KEEP,
        default="never",
        metavar="|".join(KEEP),
        help="whether images, containers and volumes of a test stay when it ends (default: never; t: always)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for listed in terminalreporter.stats.values() for report in listed]
    ended = [report for report in reports if getattr(report, "when", "") == "teardown"]
    lines = [f"{each.nodeid}: {what}" for each in ended for name, what in each.user_properties if name == KEPT]
    if lines:
        terminalreporter.section("kept artifacts")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def artifact(request: pytest.FixtureRequest) -> Iterator[Artifact]:
    """Say that the test has made an image, a container or a volume of this name."""
    made: list[tuple[str, str]] = []
    yield lambda kind, name: made.append((kind, name))
    keep = request.config.getoption("--keep-artifacts")
    kept = keep == "always" or (keep == "on-failure" and request.node.stash.get(FAILED, False))
    for kind, name in reversed(made):
        if kept:
            request.node.user_properties.append((KEPT, f"{kind} {name}"))
        else:
            docker(*REMOVE[kind], name)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[], str]:
    """A name that nothing else has, after the test."""
    shown = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.lower())
    return lambda: f"ingot-{shown}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Built:
    """An image that was built for a test, what the build said, how long it took, and the image's size."""

    tag: str
    log: Path
    seconds: float
    size_bytes: int


DockerBuild = Callable[..., Built]


@pytest.fixture
def docker_build(
    artifact: Artifact, unique: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> DockerBuild:
    """Build an image of a folder as Ingot does, with BuildKit, under a tag of its own; IngotError when it fails."""

    def build(
        context: Path,
        *,
        args: Mapping[str, str] = {},
        target: str = "",
        labels: Mapping[str, str] = {},
        dockerfile: str = "Dockerfile",
    ) -> Built:
        name = unique()
        # Not below the test's own folder, which may be the context.
        tag, log = f"{name}:test", tmp_path_factory.mktemp(name) / "build.log"
        options = [f"--label={label}={value}" for label, value in labels.items()]
        options += [f"--target={target}"] if target else []
        began = time.monotonic()
        buildkit.build(context, dockerfile, tag, args, log=log, options=options)
        artifact("image", tag)
        size = int(docker("image", "inspect", "--format", "{{.Size}}", tag))
        return Built(tag, log, time.monotonic() - began, size)

    return build


@dataclass(frozen=True)
class Ended:
    """How a container ended, what it printed, and how long it ran by Docker's clock."""

    code: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True)
class Container:
    """A container that was started for a test; `log` gets what it printed."""

    name: str
    log: Path

    def lines(self) -> Iterator[str]:
        """What it prints, line by line, until it ends."""
        words = ["docker", "logs", "--follow", self.name]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as follow:
            assert follow.stdout is not None
            try:
                yield from follow.stdout
            finally:
                follow.terminate()

    def kill(self) -> None:
        """End it as a machine that fails does."""
        docker("kill", self.name)

    def wait(self) -> Ended:
        """Wait until it ends."""
        code = int(docker("wait", self.name))
        printed = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        self.log.write_text(printed.stdout + printed.stderr)
        state = json.loads(docker("inspect", "--format", "{{json .State}}", self.name))
        began, ended = (datetime.fromisoformat(state[key]) for key in ("StartedAt", "FinishedAt"))
        return Ended(code, printed.stdout, printed.stderr, (ended - began).total_seconds())


DockerRun = Callable[..., Container]


@pytest.fixture
def docker_run(artifact: Artifact, unique: Callable[[], str], tmp_path: Path) -> DockerRun:
    """Start a container of an image, with options of `docker run`; it goes on beside the test."""

    def run(tag: str, *command: str, options: Sequence[str] = ()) -> Container:
        name = unique()
        artifact("container", name)
        docker("run", "--detach", "--name", name, *options, tag, *command)
        return Container(name, tmp_path / f"{name}.log")

    return run

"""What a test builds and starts has a unique name and is removed when the test ends, unless it is to be kept."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot import paths
from ingot.errors import IngotError
from tests.artifacts import Artifact, DockerBuild, docker

pytestmark = pytest.mark.docker

DOCKERFILE = """\
FROM scratch AS first
ARG WHAT=nothing
LABEL what=${WHAT}

FROM first AS last
COPY Dockerfile /Dockerfile
"""
TEST = """\
from pathlib import Path

def test_that_ends(docker_build):
    built = docker_build(Path(__file__).parent, labels={"mine": "MINE"})
    assert built.size_bytes is ENDS
"""
PASSES, FAILS = "not None", "None"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def test_arguments_target_and_labels_reach_the_build_and_its_log_time_and_size_are_told(
    context: Path, docker_build: DockerBuild
) -> None:
    last = docker_build(context, labels={"mine": "1"})
    first = docker_build(context, args={"WHAT": "first"}, target="first", labels={"mine": "1"})
    labels = [docker("image", "inspect", "--format", "{{.Config.Labels}}", each.tag) for each in (first, last)]
    assert labels == ["map[mine:1 what:first]", "map[mine:1 what:nothing]"]
    assert (first.size_bytes, last.size_bytes) == (0, len(DOCKERFILE))
    assert first.tag != last.tag
    assert "COPY Dockerfile" in last.log.read_text()
    assert "COPY Dockerfile" not in first.log.read_text()
    assert 0 < last.seconds < 60


def test_a_build_that_fails_says_its_last_lines(context: Path, docker_build: DockerBuild) -> None:
    with pytest.raises(IngotError, match="nowhere"):
        docker_build(context, target="nowhere")


@pytest.mark.parametrize(
    ("options", "ends", "stays"),
    [
        ([], FAILS, False),
        (["--keep-artifacts=on-failure"], PASSES, False),
        (["--keep-artifacts=on-failure"], FAILS, True),
        (["--keep-artifacts=t"], PASSES, True),
    ],
)
def test_an_image_stays_when_it_is_to_stay_and_is_named_at_the_end(
    options: list[str], ends: str, stays: bool, context: Path, artifact: Artifact, unique: Callable[[], str]
) -> None:
    mine = unique()
    (context / "test_it.py").write_text(TEST.replace("MINE", mine).replace("ENDS", ends))
    words = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "tests.artifacts", *options]
    words.append(str(context / "test_it.py"))
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=context, env=env, check=False)
    assert done.returncode == (1 if ends == FAILS else 0), done.stdout + done.stderr
    there = docker("image", "ls", "--filter", f"label=mine={mine}", "--format", "{{.Repository}}:{{.Tag}}").split()
    for tag in there:
        artifact("image", tag)
    assert len(there) == stays
    assert [tag for tag in there if f"image {tag}" not in done.stdout] == []
    assert ("kept artifacts" in done.stdout) == stays

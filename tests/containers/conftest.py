"""Fixtures of the tests of containers: built containers, and copies of them with a changed program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot.container.build import CONTAINERS
from tests.artifacts import DockerBuild
from tests.commandline import ingot_process

Broken = Callable[..., str]


@pytest.fixture(scope="session")
def built() -> Callable[[str], dict[str, Any]]:
    """Build a container; the report."""

    def build(name: str) -> dict[str, Any]:
        done = ingot_process("container", name, "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    return build


@pytest.fixture
def broken(built: Callable[[str], dict[str, Any]], docker_build: DockerBuild, tmp_path: Path) -> Broken:
    """Builds an image of a container with `old` in its program replaced by `new`; returns its name."""

    def make(name: str, old: str, new: str) -> str:
        text = (CONTAINERS / name / "train.py").read_text()
        assert text.count(old) == 1
        (tmp_path / "train.py").write_text(text.replace(old, new))
        (tmp_path / "train.py").chmod(0o644)
        copy = f"COPY train.py /opt/ingot/{name}/train.py"
        (tmp_path / "Dockerfile").write_text(f"ARG PARENT\nFROM ${{PARENT}}\n{copy}\n")
        return docker_build(tmp_path, args={"PARENT": built(name)["tag"]}).tag

    return make

"""Skips the tests that this machine cannot run, with the reason; where CI is set they run and fail instead."""

import os
import re
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from ingot.setup import docker_answers, missing_tools

pytest_plugins = ["artifacts"]
SYSTEMS = ("ubuntu2204", "ubuntu2404", "al2023", "rocky9", "rhel9", "debian12", "debian13")


@cache
def _lack(marker: str) -> str:
    """What this machine lacks for the tests that carry `marker`; nothing: an empty string."""
    if marker == "docker" and not docker_answers():
        return "no Docker engine answers (`make setup`)"
    if marker == "qemu" and (missing := missing_tools()):
        return f"missing packages: {', '.join(missing)} (`make setup`)"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.environ.get("CI"):
        return
    for marker in ("docker", "qemu"):
        if item.get_closest_marker(marker) and (reason := _lack(marker)):
            pytest.skip(reason)


class Grouped(LoadScopeScheduling):
    """Decides which tests one worker runs after one another, where there are several (`--dist loadgroup`).

    In tests/rigs those of a module share what is served for a system, but for two modules in which each test is alone;
    all other tests share a machine: its builds, its containers and what they measure. By the names of tests, because
    marks of a group do not reach xdist 3.8 from pytest 9.2. Review 2027-02-01.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        module = PurePosixPath(path)
        if module.parent.name != "rigs":
            return "machine"
        if module.stem in ("test_faults", "test_matrix"):
            return nodeid
        system = next((each for each in re.split(r"[\[\]-]", name) if each in SYSTEMS), "")
        return f"{module.stem}-{system}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return Grouped(config, log) if config.option.dist == "loadgroup" else None

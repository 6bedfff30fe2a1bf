"""Skips the tests that this machine cannot run, with the reason; where CI is set they run and fail instead."""

import os
from functools import cache

import pytest

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


# Before xdist, which reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests one worker runs after one another, where there are several (`--dist loadgroup`).

    In tests/rigs those of a module share what is served for a system, but for two modules in which each test is alone;
    all other tests share a machine: its builds, its containers and what they measure.
    """
    for item in items:
        if item.path.parent.name != "rigs":
            item.add_marker(pytest.mark.xdist_group("machine"))
        elif item.path.stem not in ("test_faults", "test_matrix"):
            given = item.callspec.params.values() if hasattr(item, "callspec") else ()
            system = next((str(each) for each in given if str(each) in SYSTEMS), "")
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{system}"))

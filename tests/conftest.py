"""Skips the tests that this machine cannot run, with the reason; where CI is set they run and fail instead."""

import os
from functools import cache

import pytest

from ingot.setup import docker_answers, missing_tools


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

"""Skips the tests that this machine cannot run, with the reason; where CI is set they run and fail instead."""

import os
import shutil
from functools import cache
from typing import Any

import pytest
from hypothesis import settings

from ingot import paths
from ingot.image.disk import GIB
from ingot.image.setup import docker_answers, missing_tools

pytest_plugins = ["tests.artifacts"]
# How long an example takes says how busy the machine is.
settings.register_profile("ingot", deadline=None)
settings.load_profile("ingot")


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
    # Asked each time: what tests before have made counts.
    if disk := item.get_closest_marker("disk"):
        free = shutil.disk_usage(paths.ROOT).free / GIB
        if free < disk.args[0]:
            pytest.skip(f"{free:.1f} GB are free, {disk.args[0]} GB are needed (`docker system prune` makes room)")


# Where finished images are tested there is no xdist.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.grouping import Grouped

    return Grouped(config, log) if config.option.dist == "loadgroup" else None

"""A build writes the same files whenever and wherever it runs: one date, nothing of the machine."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.artifacts import DockerRun

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

WRITTEN = "/usr/share/ingot/manifest.json /var/lib/dpkg/status /etc/passwd /etc/ld.so.cache /usr/lib /var/lib/ingot"


def test_the_base_is_of_one_date_and_of_no_machine(
    built: Callable[[str], dict[str, Any]], docker_run: DockerRun
) -> None:
    report = built("base")
    ended = docker_run(report["tag"], "stat", "--format=%Y", *WRITTEN.split()).wait()
    assert set(ended.stdout.split()) == {str(report["source_date_epoch"])}, ended.stderr
    ended = docker_run(report["tag"], "cat", "/etc/machine-id").wait()
    assert (ended.code, ended.stdout) == (0, "")
    ended = docker_run(report["tag"], "ls", "--almost-all", "/var/cache/ldconfig", options=["--user=0"]).wait()
    assert (ended.code, ended.stdout) == (0, "")


@pytest.mark.parametrize("name", ["pytorch", "jax"])
def test_what_pip_installs_is_of_one_date(
    name: str, built: Callable[[str], dict[str, Any]], docker_run: DockerRun
) -> None:
    report = built(name)
    # venv copies one file with its date in Python's package, the same whenever that is installed.
    find = ["find", "/opt/ingot/venv", "!", "-name", "Activate.ps1", "-printf", "%Ts\\n"]
    ended = docker_run(report["tag"], *find).wait()
    assert set(ended.stdout.split()) == {str(report["source_date_epoch"])}, ended.stderr

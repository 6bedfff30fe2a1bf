"""The Docker of the lock starts at boot and runs containers."""

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_logs_of_containers_are_bounded(host: Host) -> None:
    settings = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert settings["live-restore"]
    assert settings["log-opts"].keys() >= {"max-size", "max-file"}


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert "enabled" in (unit_files.get("docker.service"), unit_files.get("docker.socket"))


@pytest.mark.machine
def test_its_server_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    version = host.check_output("docker info --format %s", "{{.ServerVersion}}").split("+")[0]
    # Empty where the base image decides.
    assert pin.version in ("", version)


@pytest.mark.machine
def test_a_container_runs(host: Host, compiled: Callable[..., str], workdir: str) -> None:
    """From a static program alone, so that no registry is needed."""
    compiled("hello.c", flags="-static -nostdlib -ffreestanding -fno-stack-protector")
    image = "ingot-suite:hello"
    host.check_output("tar -C %s -c hello | docker import - %s", workdir, image)
    try:
        assert host.check_output("docker run --rm --network none %s /hello", image) == "hello"
    finally:
        host.check_output("docker image rm --force %s", image)

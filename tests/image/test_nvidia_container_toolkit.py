"""A container sees the GPUs: Docker knows NVIDIA's runtime, of the lock's version."""

import json

import pytest
from testinfra.host import Host

from ingot.locked import LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_its_tool_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    assert pin.version in host.check_output("nvidia-ctk --version")


def test_docker_knows_its_runtime(host: Host) -> None:
    assert "nvidia" in json.loads(host.file("/etc/docker/daemon.json").content_string)["runtimes"]


@pytest.mark.machine
@pytest.mark.gpu
def test_devices_are_described_for_containers(host: Host) -> None:
    assert "nvidia.com/gpu=all" in host.check_output("nvidia-ctk cdi list").split()

"""A container sees the GPUs: Docker knows NVIDIA's runtime, of the lock's version."""

import json
import tomllib

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_its_tool_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    assert pin.version in host.check_output("nvidia-ctk --version")


def test_docker_knows_its_runtime_and_the_devices_that_it_describes(host: Host) -> None:
    if not host.file("/usr/bin/dockerd").exists:
        pytest.skip("this image has no Docker")
    settings = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert settings["runtimes"]["nvidia"]["path"] == "nvidia-container-runtime"
    assert host.exists("nvidia-container-runtime")
    assert settings["features"]["cdi"]


def test_its_runtime_has_a_mode(host: Host) -> None:
    runtime = tomllib.loads(host.file("/etc/nvidia-container-runtime/config.toml").content_string)
    assert runtime["nvidia-container-runtime"]["mode"] in ("auto", "cdi", "jit-cdi", "legacy")


def test_devices_are_described_at_boot_where_there_is_a_gpu(
    host: Host, pin: LockedComponent, unit_files: dict[str, str]
) -> None:
    if not pin.facts.get("cdi_refresh"):
        pytest.skip("the lock's toolkit has no unit for it: facts.cdi_refresh is not there")
    assert {unit_files.get(f"nvidia-cdi-refresh.{kind}") for kind in ("service", "path")} == {"enabled"}
    gate = host.file("/etc/systemd/system/nvidia-cdi-refresh.service.d/ingot.conf")
    assert "ExecCondition=" in gate.content_string


@pytest.mark.booted
@pytest.mark.no_gpu
def test_nothing_fails_where_there_is_none(host: Host) -> None:
    assert host.run("systemctl is-failed nvidia-cdi-refresh.service").stdout.strip() != "failed"


@pytest.mark.machine
@pytest.mark.gpu
def test_devices_are_described_for_containers(host: Host) -> None:
    assert "nvidia.com/gpu=all" in host.check_output("nvidia-ctk cdi list").split()

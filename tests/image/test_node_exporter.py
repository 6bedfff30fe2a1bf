"""The machine's metrics can be read on port 9100 from the first boot on."""

import re
from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

UNIT = "prometheus-node-exporter.service"
# Of a package, or of the vendor's archive.
PROGRAM = "$(ls /usr/bin/prometheus-node-exporter /usr/local/bin/node_exporter 2>/dev/null)"
# By the shell alone: the image needs no HTTP client.
READ = r"exec 3<>/dev/tcp/localhost/9100; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_it_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    said = host.check_output(f"{PROGRAM} --version 2>&1")
    assert re.search(r" version ([^\s+]+)", said)[1] == pin.version  # type: ignore[index]


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"


def test_scripts_can_leave_metrics_for_it(host: Host) -> None:
    assert host.file("/var/lib/prometheus/node-exporter").is_directory


def test_systemd_understands_every_line_of_the_service(host: Host) -> None:
    checked = host.run(f"systemd-analyze verify {UNIT}")
    assert [line for line in checked.stderr.splitlines() if UNIT in line] == []


@pytest.mark.booted
def test_metrics_of_the_lock_version_are_served(
    host: Host, pin: LockedComponent, eventually: Callable[..., None]
) -> None:
    eventually(lambda: host.run(f"systemctl is-active {UNIT}").rc == 0, within=30, what="the node exporter is active")
    metrics = host.check_output("bash -c %s", READ)
    build = re.search(r'^node_exporter_build_info\{.*version="([^"+]+)', metrics, re.MULTILINE)
    assert build
    assert build[1] == pin.version
    assert "node_memory_MemTotal_bytes" in metrics

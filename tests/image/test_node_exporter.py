"""The machine's metrics can be read on port 9100 from the first boot on."""

import re
from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.locked import LockedComponent

# By the shell alone: the image needs no HTTP client.
READ = r"exec 3<>/dev/tcp/localhost/9100; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get("prometheus-node-exporter.service") == "enabled"


@pytest.mark.booted
def test_metrics_of_the_lock_version_are_served(
    host: Host, pin: LockedComponent, eventually: Callable[..., None]
) -> None:
    active = "systemctl is-active prometheus-node-exporter.service"
    eventually(lambda: host.run(active).rc == 0, within=30, what="the node exporter is active")
    metrics = host.check_output("bash -c %s", READ)
    build = re.search(r'^node_exporter_build_info\{.*version="([^"+]+)', metrics, re.MULTILINE)
    assert build
    assert build[1] == pin.version
    assert "node_memory_MemTotal_bytes" in metrics

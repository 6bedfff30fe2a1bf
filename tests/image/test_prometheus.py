"""The head node gathers the metrics of the cluster's machines, and only it can read them."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

UNIT = "prometheus.service"
SETTINGS = "/etc/prometheus/prometheus.yml"


@pytest.mark.parametrize("program", ["prometheus", "promtool"])
def test_it_is_of_the_lock(host: Host, pin: LockedComponent, program: str) -> None:
    said = host.check_output("/usr/local/bin/%s --version 2>&1", program)
    assert f"{program}, version {pin.version} " in said


def test_its_settings_are_valid(host: Host) -> None:
    assert host.run(f"/usr/local/bin/promtool check config {SETTINGS}").rc == 0


def test_it_reads_every_exporter(host: Host) -> None:
    lines = host.file(SETTINGS).content_string.splitlines()
    assert [line.split()[-1] for line in lines if "job_name:" in line] == ["node", "efa", "dcgm"]


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"


def test_systemd_understands_every_line_of_the_service(host: Host) -> None:
    checked = host.run(f"systemd-analyze verify {UNIT}")
    assert [line for line in checked.stderr.splitlines() if UNIT in line] == []


@pytest.mark.booted
def test_it_runs(host: Host, eventually: Callable[..., None]) -> None:
    eventually(lambda: host.run(f"systemctl is-active {UNIT}").rc == 0, within=30, what="Prometheus is active")

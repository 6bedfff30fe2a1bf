"""Counters of EFA devices can be read on port 9109 where there are any; elsewhere the exporter does not run."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

UNIT = "ingot-efa-exporter.service"


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"


def test_it_shows_its_version_and_no_device_where_none_is(host: Host) -> None:
    if host.run("grep -qs '^PCI_ID=1D0F:EFA' /sys/bus/pci/devices/*/uevent").rc == 0:
        pytest.skip("holds where there is no EFA device: the machine has one")
    lines = host.check_output("ingot-efa-exporter --once").splitlines()
    assert [line.partition("{")[0] for line in lines if not line.startswith("#")] == ["efa_exporter_build_info"]


def test_systemd_understands_every_line_of_the_service(host: Host) -> None:
    checked = host.run(f"systemd-analyze verify {UNIT}")
    assert [line for line in checked.stderr.splitlines() if UNIT in line] == []


@pytest.mark.booted
def test_it_is_inactive_without_an_efa_device_and_has_not_failed(
    host: Host, outcome_of: Callable[[str], list[str]]
) -> None:
    if host.run("grep -qs '^PCI_ID=1D0F:EFA' /sys/bus/pci/devices/*/uevent").rc == 0:
        pytest.skip("holds where there is no EFA device: the machine has one")
    assert outcome_of(UNIT) == ["ActiveState=inactive", "Result=exec-condition"]

"""DCGM is of the lock, and its host engine starts only where there is a GPU."""

import pytest
from testinfra.host import Host

UNIT = "nvidia-dcgm.service"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_it_starts_at_boot_on_a_condition(host: Host, unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"
    settings = host.file(f"/etc/systemd/system/{UNIT}.d/ingot.conf").content_string
    assert "ExecCondition=" in settings
    assert "0x10de" in settings


@pytest.mark.booted
@pytest.mark.no_gpu
def test_it_is_inactive_without_a_gpu_and_has_not_failed(host: Host) -> None:
    shown = host.check_output(f"systemctl show --property ActiveState,Result {UNIT}").splitlines()
    assert sorted(shown) == ["ActiveState=inactive", "Result=exec-condition"]

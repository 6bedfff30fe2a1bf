"""Metrics of GPUs can be read on port 9400 where there are any; elsewhere the exporter does not run."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

UNIT = "nvidia-dcgm-exporter.service"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"


def test_it_reads_the_host_engine_of_the_machine(host: Host) -> None:
    settings = host.file(f"/etc/systemd/system/{UNIT}.d/ingot-engine.conf").content_string
    assert "Environment=DCGM_REMOTE_HOSTENGINE_INFO=localhost:5555" in settings.splitlines()


@pytest.mark.booted
@pytest.mark.finished
@pytest.mark.no_gpu
def test_it_is_inactive_without_a_gpu_and_has_not_failed(outcome_of: Callable[[str], list[str]]) -> None:
    assert outcome_of(UNIT) == ["ActiveState=inactive", "Result=exec-condition"]

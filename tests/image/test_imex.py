"""IMEX is of the lock, and starts only where several machines share one NVLink domain."""

from collections.abc import Callable

import pytest

UNIT = "nvidia-imex.service"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_it_starts_at_boot_on_a_condition(settings_of: Callable[[str], str]) -> None:
    assert "ExecCondition=/usr/lib/ingot/nvlink-fabric rack" in settings_of(UNIT)


@pytest.mark.booted
@pytest.mark.finished
@pytest.mark.no_gpu
def test_it_is_inactive_without_a_gpu_and_has_not_failed(outcome_of: Callable[[str], list[str]]) -> None:
    assert outcome_of(UNIT) == ["ActiveState=inactive", "Result=exec-condition"]

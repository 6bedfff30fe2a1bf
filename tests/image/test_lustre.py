"""The client of FSx for Lustre is there, with a module for the image's kernel."""

from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_packages_are_held(pin: LockedComponent, installed: dict[str, Any]) -> None:
    assert [name for name in pin.packages if not installed[name].held] == []


def test_the_module_is_made_for_the_image_kernel(host: Host, release: str) -> None:
    assert host.check_output(f"modinfo -k {release} -F vermagic lustre").split()[0] == release


@pytest.mark.parametrize("program", ["mount.lustre", "lctl", "lfs"])
def test_its_programs_are_there(host: Host, program: str) -> None:
    host.check_output(f"PATH=/sbin:/usr/sbin:$PATH command -v {program}")

"""A program finds gdrcopy's library, and its module, made for the image's kernel, is loaded where a GPU is."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

UNIT = "gdrcopy.service"


def test_programs_find_the_library_of_the_lock(host: Host, pin: LockedComponent) -> None:
    name = f"libgdrapi.so.{pin.version.partition('.')[0]}"
    found = host.check_output("ldconfig --print-cache | grep -F %s", name).split()[-1]
    assert host.file(found).exists
    assert host.check_output("cat %s/ingot-version", found.rpartition("/lib/")[0]) == pin.version


def test_the_module_is_made_for_the_image_kernel_and_is_of_the_lock(
    host: Host, pin: LockedComponent, release: str
) -> None:
    module = pin.facts["module_name"]
    assert host.check_output("modinfo -k %s -F vermagic %s", release, module).split()[0] == release
    assert pin.version.startswith(host.check_output("modinfo -k %s -F version %s", release, module))


def test_the_module_brings_the_driver_along(host: Host, pin: LockedComponent, release: str) -> None:
    shown = host.check_output("modprobe --set-version %s --show-depends %s", release, pin.facts["module_name"])
    assert "/nvidia.ko" in shown


def test_it_is_loaded_at_boot_where_a_gpu_is(host: Host, unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"
    assert "ExecCondition=" in host.check_output("cat /etc/systemd/system/%s.d/ingot.conf", UNIT)


@pytest.mark.booted
@pytest.mark.no_gpu
def test_without_a_gpu_the_unit_is_inactive_not_failed(host: Host) -> None:
    assert host.run("systemctl is-active %s", UNIT).stdout.strip() == "inactive"


@pytest.mark.gpu
@pytest.mark.machine
def test_with_a_gpu_every_user_may_open_its_device(host: Host, eventually: Callable[..., None]) -> None:
    eventually(lambda: host.run("test -c /dev/gdrdrv").rc == 0, within=60, what="gdrcopy's device is there")
    assert host.check_output("stat -c %%a /dev/gdrdrv") == "666"

"""The machine runs the kernel of the lock, and no other is there for it to run."""

from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock, LockedComponent
from ingot.sources.apt import DEB_ARCH
from tests.image.conftest import Place


@pytest.mark.own_base
def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


@pytest.mark.own_base
def test_packages_are_held(pin: LockedComponent, installed: dict[str, Any]) -> None:
    # Packages of apt have the release in their names, those of rpm are several of one name.
    held = [name for name in pin.packages if str(pin.facts["release"]) in name or name.startswith("kernel")]
    assert held
    assert [name for name in held if name in installed and not installed[name].held] == []


@pytest.mark.own_base
def test_the_kernel_is_the_only_one(host: Host, pin: LockedComponent) -> None:
    assert host.check_output("ls /lib/modules").split() == [pin.facts["release"]]
    assert host.check_output("ls /boot | grep ^vmlinuz-").split() == [f"vmlinuz-{pin.facts['release']}"]


@pytest.mark.own_base
def test_nothing_installed_draws_in_a_newer_kernel(lock: Lock, installed: dict[str, Any]) -> None:
    """A metapackage such as linux-image-cloud-amd64 would bring the next kernel past every hold."""
    prefixes = ("linux-image-", "linux-headers-")
    kernels = {name for name in installed if name.startswith(prefixes)}
    meta = {name for name in kernels if not any(letter.isdigit() for letter in name.replace(DEB_ARCH[lock.arch], ""))}
    assert meta == set()


@pytest.mark.own_base
def test_modules_can_be_built_for_it(host: Host, pin: LockedComponent) -> None:
    host.check_output("test -e /lib/modules/%s/build/Makefile", pin.facts["release"])


@pytest.mark.own_base
def test_it_finds_the_disk_of_a_virtual_machine_at_boot(host: Host, pin: LockedComponent) -> None:
    release = pin.facts["release"]
    debian = host.file(f"/boot/initrd.img-{release}").exists
    listed = f"lsinitramfs /boot/initrd.img-{release}" if debian else f"lsinitrd /boot/initramfs-{release}.img"
    modules = host.check_output(f"{listed}; cat /lib/modules/{release}/modules.builtin")
    assert [name for name in ("nvme", "virtio_blk", "ext4") if f"/{name}.ko" not in modules] == []


@pytest.mark.machine
@pytest.mark.own_base
def test_the_machine_runs_it(host: Host, pin: LockedComponent) -> None:
    assert host.check_output("uname -r") == pin.facts["release"]


@pytest.mark.on_base
@pytest.mark.machine
def test_no_kernel_is_newer_than_the_one_of_the_base_image(host: Host) -> None:
    """A machine boots the newest; the builder still runs the base image's."""
    newest = host.check_output("ls /boot | sed -n 's/^vmlinuz-//p' | sort --version-sort | tail --lines=1")
    assert newest == host.check_output("uname -r")


@pytest.mark.on_base
def test_every_package_of_the_base_images_kernel_is_held(
    installed: dict[str, Any], kernels: frozenset[str], place: Place
) -> None:
    assert kernels or not place.machine
    assert sorted(name for name in kernels if not installed[name].held) == []

"""A user can import an image and run it; images lie on the machine's fastest disk, each user's apart."""

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

CAPABILITIES = {
    "/usr/bin/enroot-mksquashovlfs": {"cap_sys_admin"},
    "/usr/bin/enroot-aufs2ovlfs": {"cap_sys_admin", "cap_mknod"},
}
STORAGE = "ingot-enroot-storage.service"


def test_enroot_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    assert host.check_output("enroot version") == pin.version


@pytest.mark.parametrize("program", CAPABILITIES)
def test_users_may_unpack_images(host: Host, program: str) -> None:
    names, _, how = host.check_output("PATH=/usr/sbin:$PATH getcap %s", program).split()[-1].partition("=")
    assert ({*names.split(",")}, how) == (CAPABILITIES[program], "ep")


def test_settings_are_valid_as_enroot_reads_them(host: Host) -> None:
    assert host.run("bash -n /etc/enroot/enroot.conf.d/50-ingot.conf").rc == 0


@pytest.mark.parametrize("hook", ["50-slurm-pmi.sh", "50-slurm-pytorch.sh"])
def test_a_container_joins_the_mpi_and_the_torch_job_that_slurm_starts(host: Host, hook: str) -> None:
    """Enroot runs what lies in this folder; the package has these hooks elsewhere."""
    assert host.file(f"/etc/enroot/hooks.d/{hook}").linked_to == f"/usr/share/enroot/hooks.d/{hook}"
    assert host.run("test -x %s", f"/etc/enroot/hooks.d/{hook}").rc == 0


def test_users_may_make_namespaces_where_apparmor_restricts_that(host: Host) -> None:
    if not host.file("/etc/apparmor.d/abi/4.0").exists:
        pytest.skip("holds where AppArmor restricts user namespaces: this one is older, or there is none")
    assert host.file("/etc/apparmor.d/enroot").exists


def test_the_fastest_disk_is_looked_for_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(STORAGE) == "enabled"


@pytest.mark.booted
def test_every_user_can_write_where_images_lie(host: Host) -> None:
    assert host.run(f"systemctl is-active {STORAGE}").stdout.strip() == "active"
    places = host.check_output("stat -L -c %a /run/enroot /run/enroot/storage/cache /run/enroot/storage/data").split()
    assert places == ["1777"] * 3

"""A machine made from the image comes up whole: all units are well, its identity is its own, nobody guesses in."""

import re
from collections.abc import Callable

import pytest
from testinfra.host import Host

# What grows each file system, as cloud-init calls it:
# https://github.com/canonical/cloud-init/blob/main/cloudinit/config/cc_resizefs.py
GROWS = {"ext4": "resize2fs", "xfs": "xfs_growfs"}
# How much of its partition a file system has for data; inodes and journal take about 3 % of ext4.
LEAST_DATA = 0.9


@pytest.mark.booted
def test_the_system_is_running_and_no_unit_has_failed(
    host: Host, eventually: Callable[..., None], failing: frozenset[str]
) -> None:
    """But for those of a base image that fail on every machine outside a cluster, as the catalog says."""

    def settled() -> bool:
        return host.run("systemctl is-system-running").stdout.strip() not in ("initializing", "starting")

    eventually(settled, within=120, what="the system has finished starting")
    lines = host.check_output("systemctl list-units --failed --plain --no-legend").splitlines()
    failed = {line.split()[0] for line in lines}
    assert failed - failing == set()
    assert host.run("systemctl is-system-running").stdout.strip() == ("degraded" if failed else "running")


@pytest.mark.booted
@pytest.mark.finished
def test_the_machine_has_an_id_of_its_own_made_after_the_image(
    host: Host, newer_than_the_image: Callable[[str], bool]
) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", host.file("/etc/machine-id").content_string.strip())
    assert newer_than_the_image("/etc/machine-id")


@pytest.mark.booted
@pytest.mark.finished
def test_ssh_host_keys_were_made_after_the_image(newer_than_the_image: Callable[[str], bool]) -> None:
    assert newer_than_the_image("/etc/ssh/ssh_host_*_key")


@pytest.mark.machine
def test_the_root_file_system_grows_into_its_partition(host: Host) -> None:
    """cloud-init does it at boot with these two, where the volume is larger than the image."""
    source, kind, size = host.check_output("findmnt --noheadings --bytes --output SOURCE,FSTYPE,SIZE /").split()
    partition = host.check_output("lsblk --noheadings --nodeps --bytes --output SIZE %s", source)
    assert int(size) > LEAST_DATA * int(partition)
    host.check_output("command -v %s", GROWS[kind])
    host.check_output("growpart --help")


@pytest.mark.machine
def test_the_kernel_does_not_report_a_broken_module(host: Host) -> None:
    lines = host.check_output("dmesg").splitlines()
    broken = ("Unknown symbol", "disagrees about version", "invalid module format", "Exec format error")
    assert [line for line in lines if any(words in line for words in broken)] == []


def test_root_has_no_password(host: Host) -> None:
    # `LK` where passwd is Red Hat's own.
    assert host.check_output("passwd --status root").split()[1] in ("L", "LK")


@pytest.mark.booted
def test_ssh_lets_nobody_in_by_password(host: Host) -> None:
    settings = dict(line.split(" ", 1) for line in host.check_output("sshd -T").splitlines())
    assert settings["passwordauthentication"] == "no"
    assert settings["permitemptypasswords"] == "no"
    assert settings["permitrootlogin"] in ("no", "prohibit-password", "without-password")

"""The bare system is the one that the lock records, package by package; it keeps its clock and its doors well."""

from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock

# What each family calls the unit of the clock.
CLOCK = {"Debian": "chrony.service", "RedHat": "chronyd.service"}


@pytest.mark.own_base
def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


@pytest.mark.own_base
def test_no_package_is_installed_that_the_lock_does_not_name(lock: Lock, installed: dict[str, Any]) -> None:
    assert sorted(set(installed) - set(lock.packages)) == []


@pytest.mark.own_base
def test_no_package_has_another_version_than_in_the_lock(lock: Lock, installed: dict[str, Any]) -> None:
    assert {
        name: f"{package.version}, not {lock.packages[name].version}"
        for name, package in installed.items()
        if name in lock.packages and package.version != lock.packages[name].version
    } == {}


def test_no_package_is_half_installed(host: Host, family: str) -> None:
    assert host.check_output("dnf --quiet check" if family == "RedHat" else "dpkg --audit") == ""


@pytest.mark.own_base
def test_services_of_the_bare_system_start_at_boot(unit_files: dict[str, str]) -> None:
    wanted = ("chrony.service", "ssh.service", "systemd-networkd.service", "systemd-resolved.service")
    assert {unit: unit_files.get(unit) for unit in wanted} == dict.fromkeys(wanted, "enabled")


@pytest.mark.booted
def test_the_clock_is_kept(host: Host, family: str) -> None:
    assert host.run(f"systemctl is-active {CLOCK[family]}").stdout.strip() == "active"


@pytest.mark.machine
def test_a_login_may_open_as_many_files_as_data_loaders_need(host: Host) -> None:
    assert int(host.check_output("su --shell /bin/sh --command %s nobody", "ulimit -H -n")) >= 1 << 20


def test_no_library_is_preloaded_or_found_by_environment(host: Host) -> None:
    places = "/etc/environment /etc/ld.so.preload /etc/profile /etc/profile.d /etc/systemd/system.conf.d"
    found = host.run(f"grep -rsE 'LD_(LIBRARY_PATH|PRELOAD)=' {places}").stdout
    assert found == ""
    assert not host.file("/etc/ld.so.preload").exists

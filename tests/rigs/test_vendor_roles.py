"""Roles whose packages come from vendors' repositories, converged against a simulated vendor on a simulated Ubuntu.

The system is a Debian container that presents itself as Ubuntu 24.04; apt, keys, signatures and packages are real.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from systems import container, docker, gateway, image
from systems import converge as run_play
from vendors import Vendors, serving

from ingot import lock as locks
from ingot import paths

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["fabricmanager", "nvlsm", "imex", "dcgm"]
UNITS = {"fabricmanager": "nvidia-fabricmanager", "imex": "nvidia-imex", "dcgm": "nvidia-dcgm"}
PLAY = """\
- hosts: all
  roles:
    - ingot.ml.{role}
"""


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of Ubuntu 24.04 names for the roles, served where containers reach it."""
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    with serving(lock, ROLES, tmp_path_factory.mktemp("rig") / "vendors", gateway()) as made:
        yield made


@pytest.fixture
def host(vendors: Vendors) -> Iterator[str]:
    """A container that presents itself as Ubuntu 24.04."""
    vendors.faults.clear()
    with container(image("ubuntu2404")) as name:
        yield name


def converge(host: str, vendors: Vendors, role: str) -> subprocess.CompletedProcess[str]:
    """Apply the role; what Ansible says."""
    play = vendors.folder / f"{role}.yml"
    play.write_text(PLAY.format(role=role))
    return run_play(host, play, vendors.lock_file)


def installed(host: str) -> dict[str, tuple[str, str]]:
    """package -> (what dpkg wants of it, version), of the packages that the vendor has."""
    shown = docker("exec", host, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Want} ${Version}\n")
    rows = (line.split() for line in shown.splitlines())
    return {
        name: (want, version) for name, want, version in rows if name.startswith(("nvidia-", "nvlsm", "datacenter-"))
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_installs_and_holds_the_locks_packages_and_a_second_time_changes_nothing(
    host: str, vendors: Vendors, role: str
) -> None:
    first = converge(host, vendors, role)
    assert first.returncode == 0, first.stdout
    second = converge(host, vendors, role)
    assert "changed=0 " in second.stdout, second.stdout
    entry = vendors.lock.components[role]
    held = entry.packages if entry.hold else []
    assert installed(host) == {
        name: ("hold" if name in held else "install", file.version) for name, file in entry.files.items()
    }
    if role in UNITS:
        unit = UNITS[role]
        links = docker("exec", host, "find", "/etc/systemd/system", "-name", f"{unit}.service")
        assert "multi-user.target.wants" in links
        assert "ExecCondition=" in docker("exec", host, "cat", f"/etc/systemd/system/{unit}.service.d/ingot.conf")


def trusted(host: str) -> str:
    """The vendor's keys and entries that apt in the container has."""
    return docker("exec", host, "find", "/etc/apt", "-name", "ingot-*")


@pytest.mark.parametrize(
    ("path", "fault", "said"),
    [
        pytest.param("cuda_deb/key.asc", [404], "404", marks=pytest.mark.slow),
        pytest.param("cuda_deb/key.asc", [403], "403", marks=pytest.mark.slow),
        ("cuda_deb/key.asc", ["altered"], "is no key, not"),
        pytest.param("cuda_deb/key.asc", ["truncated"], "is no key, not", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_key_that_is_not_the_locks_is_refused_and_nothing_is_left(
    host: str, vendors: Vendors, path: str, fault: list[int | str], said: str
) -> None:
    vendors.faults[path] = fault
    done = converge(host, vendors, "fabricmanager")
    assert done.returncode != 0
    assert said in done.stdout
    assert "cuda_deb" in done.stdout
    assert (installed(host), trusted(host)) == ({}, "")
    assert converge(host, vendors, "fabricmanager").returncode == 0


def test_another_key_is_named_beside_the_locks(host: str, vendors: Vendors, tmp_path: Path) -> None:
    other = tmp_path / "lock.yml"
    row = vendors.lock.repositories["cuda_deb"].model_copy(update={"key_fingerprint": "A" * 40})
    lock = vendors.lock.model_copy(update={"repositories": {**vendors.lock.repositories, "cuda_deb": row}})
    other.write_text(locks.dump(lock))
    changed = Vendors(tmp_path, vendors.url, lock, vendors.faults)
    done = converge(host, changed, "fabricmanager")
    pinned = vendors.lock.repositories["cuda_deb"].key_fingerprint
    assert f"is {pinned}, not {'A' * 40}" in done.stdout
    assert (installed(host), trusted(host)) == ({}, "")


@pytest.mark.parametrize("fault", [[500, 503], [429]], ids=str)
def test_a_busy_host_is_asked_again(host: str, vendors: Vendors, fault: list[int | str]) -> None:
    vendors.faults["cuda_deb/key.asc"] = fault
    vendors.faults[".deb"] = [503]
    assert converge(host, vendors, "fabricmanager").returncode == 0
    assert vendors.faults == {"cuda_deb/key.asc": [], ".deb": []}


@pytest.mark.parametrize("fault", ["altered", pytest.param("truncated", marks=pytest.mark.slow), 404], ids=str)
def test_a_package_that_is_not_as_signed_is_not_installed_and_the_next_run_succeeds(
    host: str, vendors: Vendors, fault: int | str
) -> None:
    vendors.faults[".deb"] = [fault] * 9
    done = converge(host, vendors, "imex")
    assert done.returncode != 0
    assert "nvidia-imex_580" in done.stdout
    assert installed(host) == {}
    vendors.faults.clear()
    assert converge(host, vendors, "imex").returncode == 0


# Ansible asks again five times.
@pytest.mark.slow
def test_an_index_that_its_key_has_not_signed_is_refused(host: str, vendors: Vendors) -> None:
    vendors.faults["InRelease"] = ["altered"] * 9
    done = converge(host, vendors, "imex")
    assert done.returncode != 0
    assert installed(host) == {}


def test_a_version_that_is_gone_is_named(host: str, vendors: Vendors) -> None:
    entry = vendors.lock.components["imex"]
    gone = {name: file.model_copy(update={"version": "580.999-1"}) for name, file in entry.files.items()}
    lock = vendors.lock.model_copy(update={"components": {"imex": entry.model_copy(update={"files": gone})}})
    folder = vendors.folder / "gone"
    folder.mkdir()
    changed = Vendors(folder, vendors.url, lock)
    changed.lock_file.write_text(locks.dump(lock))
    try:
        done = converge(host, changed, "imex")
    finally:
        shutil.rmtree(folder)
    assert done.returncode != 0
    assert "nvidia-imex=580.999-1" in done.stdout
    assert installed(host) == {}


def test_the_locks_file_says_that_vendors_are_simulated(vendors: Vendors) -> None:
    lock = yaml.safe_load(vendors.lock_file.read_text())
    assert {row["url"].startswith(vendors.url) for row in lock["repositories"].values()} == {True}

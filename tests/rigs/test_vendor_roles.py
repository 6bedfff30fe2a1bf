"""Packages of a vendor's repository are installed and held as the lock has them, once the vendor's key is the lock's.

A system is a Debian container that presents itself as Ubuntu 24.04, Amazon Linux 2023 and so on; apt, dnf, rpm, keys,
signatures and packages are real. What goes wrong with a package itself, test_faults.py has for every role.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot.lock import file as locks
from tests.rigs.faults import Fault, answers
from tests.rigs.locks import locked
from tests.rigs.places import converge, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, docker, gateway
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["fabricmanager", "nvlsm", "imex", "dcgm"]
# What the suite asks of these needs more than their packages: test_cuda_roles.py.
MORE_ROLES = ["nccl", "nvidia_container_toolkit"]
MORE_SYSTEMS = ["ubuntu2204", "al2023", "rocky9", "rhel9"]


def slow(*values: object) -> list[Any]:
    """Values of a parameter for `make test-all` alone."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


# What is asked of a vendor's repository before a package is: the package manager decides it, not the system.
one_of_each_family = pytest.mark.parametrize("vendors", ["ubuntu2404", *slow("al2023")], indirect=True)


@dataclass(frozen=True)
class Family:
    """How the systems of a package manager name things: NVIDIA's repository, the index that is signed, and the end of a
    package's file.
    """

    repository: str
    index: str
    suffix: str


FAMILIES = {"apt": Family("cuda_deb", "InRelease", ".deb"), "rpm": Family("cuda_rpm", "repomd.xml.asc", ".rpm")}


@pytest.fixture(scope="module", params=["ubuntu2404", *slow(*MORE_SYSTEMS)])
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of a system names for the roles, served where containers reach it."""
    with serving(
        locked(request.param), [*ROLES, *MORE_ROLES], tmp_path_factory.mktemp("rig") / "vendors", gateway()
    ) as made:
        yield made


@pytest.fixture
def family(vendors: Vendors) -> Family:
    """The family of the system."""
    return FAMILIES[SYSTEMS[vendors.lock.os].kind]


RPM = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"


def installed(host: str, vendors: Vendors) -> dict[str, tuple[bool, str]]:
    """package -> (whether it is held, version), of the packages that the vendor has."""
    names = {name for entry in vendors.lock.components.values() for name in entry.files}
    if SYSTEMS[vendors.lock.os].kind == "apt":
        held = set(docker("exec", host, "apt-mark", "showhold").split())
        shown = docker("exec", host, "dpkg-query", "-W", "-f", "${Package} ${Version}\n")
    else:
        listed = docker("exec", host, "cat", "/etc/dnf/plugins/versionlock.list")
        held = set(re.findall(r"^(.+)-\d+:", listed, re.MULTILINE))
        shown = docker("exec", host, "rpm", "-qa", "--queryformat", RPM)
    rows = (line.split() for line in shown.splitlines())
    return {name: (name in held, version) for name, version in rows if name in names}


def test_the_roles_install_and_hold_the_locks_packages_and_a_second_time_change_nothing(
    host: str, vendors: Vendors
) -> None:
    converged_twice(host, vendors, *ROLES, *MORE_ROLES)
    parts = [vendors.lock.components[role] for role in (*ROLES, *MORE_ROLES)]
    # With what they need of the vendor's, which an upgrade would move.
    held = {name for part in parts if part.hold for name in part.files}
    wanted = {name: (name in held, file.version) for part in parts for name, file in part.files.items()}
    assert installed(host, vendors) == wanted
    verified = suite(host, vendors.lock_file, ROLES)
    assert verified.returncode == 0, verified.stdout
    assert "passed" in verified.stdout


def trusted(host: str) -> str:
    """The vendor's keys and entries that the package manager in the container has."""
    return docker("exec", host, "find", "/etc", "-name", "ingot-*")


@one_of_each_family
@pytest.mark.parametrize("fault", answers("404", "403", "altered", "truncated"))
def test_a_key_that_is_not_the_locks_is_refused_and_nothing_is_left(
    host: str, vendors: Vendors, family: Family, fault: Fault
) -> None:
    vendors.faults["/key.asc"] = [fault]
    done = converge(host, vendors, "fabricmanager")
    assert done.returncode != 0
    assert (str(fault) if isinstance(fault, int) else "is no key, not") in done.stdout
    assert family.repository in done.stdout
    assert (installed(host, vendors), trusted(host)) == ({}, "")
    assert converge(host, vendors, "fabricmanager").returncode == 0


@one_of_each_family
def test_another_key_is_named_beside_the_locks(host: str, vendors: Vendors, family: Family, tmp_path: Path) -> None:
    other = tmp_path / "lock.yml"
    row = vendors.lock.repositories[family.repository].model_copy(update={"key_fingerprint": "A" * 40})
    lock = vendors.lock.model_copy(update={"repositories": {**vendors.lock.repositories, family.repository: row}})
    other.write_text(locks.dump(lock))
    changed = Vendors(tmp_path, vendors.url, lock, vendors.faults)
    done = converge(host, changed, "fabricmanager")
    pinned = vendors.lock.repositories[family.repository].key_fingerprint
    # The page has the key before as well.
    assert re.search(rf"is {pinned}, \w{{40}}, not {'A' * 40}", done.stdout)
    assert (installed(host, vendors), trusted(host)) == ({}, "")


@one_of_each_family
@pytest.mark.parametrize("fault", [[500, 503], *slow([429])], ids=str)
def test_a_busy_host_is_asked_again(host: str, vendors: Vendors, family: Family, fault: list[int | str]) -> None:
    paths = ("/key.asc", family.index, family.suffix)
    vendors.faults |= {path: [*fault] for path in paths}
    done = converge(host, vendors, "fabricmanager")
    assert done.returncode == 0, done.stdout
    assert vendors.faults == {path: [] for path in paths}


def test_the_locks_file_says_that_vendors_are_simulated(vendors: Vendors) -> None:
    lock = yaml.safe_load(vendors.lock_file.read_text())
    names = {lock["components"][role]["source"] for role in ROLES}
    assert {lock["repositories"][name]["url"].startswith(vendors.url) for name in names} == {True}

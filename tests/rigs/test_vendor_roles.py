"""Roles whose packages come from vendors' repositories, converged against a simulated vendor on simulated systems.

A system is a Debian container that presents itself as Ubuntu 24.04, Amazon Linux 2023 and so on; apt, dnf, rpm, keys,
signatures and packages are real.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from suite import suite
from systems import STACK, SYSTEMS, container, docker, gateway, image
from systems import converge as run_play
from vendors import Vendors, serving

from ingot import lock as locks
from ingot import paths

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["fabricmanager", "nvlsm", "imex", "dcgm"]
MORE_ROLES = ["nccl", "nvidia_container_toolkit"]
MORE_SYSTEMS = ["ubuntu2204", "al2023", "rocky9", "rhel9"]
PLAY = """\
- hosts: all
  roles:
    - ingot.ml.{role}
"""


@dataclass(frozen=True)
class Family:
    """How the systems of a package manager name things: NVIDIA's repository, the index that is signed, the end of a
    package's file, and what is between a package's name and version.
    """

    repository: str
    index: str
    suffix: str
    sign: str


FAMILIES = {
    "apt": Family("cuda_deb", "InRelease", ".deb", "="),
    "rpm": Family("cuda_rpm", "repomd.xml.asc", ".rpm", "-"),
}


@pytest.fixture(
    scope="module", params=["ubuntu2404", *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_SYSTEMS)]
)
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of a system names for the roles, served where containers reach it."""
    lock = locks.load(paths.LOCKS / STACK / f"{request.param}-x86_64.yml")
    with serving(lock, [*ROLES, *MORE_ROLES], tmp_path_factory.mktemp("rig") / "vendors", gateway()) as made:
        yield made


@pytest.fixture
def family(vendors: Vendors) -> Family:
    """The family of the system."""
    return FAMILIES[SYSTEMS[vendors.lock.os].kind]


@pytest.fixture
def host(vendors: Vendors) -> Iterator[str]:
    """A container that presents itself as the lock's system."""
    vendors.faults.clear()
    with container(image(vendors.lock.os)) as name:
        yield name


def converge(host: str, vendors: Vendors, role: str) -> subprocess.CompletedProcess[str]:
    """Apply the role; what Ansible says."""
    play = vendors.folder / f"{role}.yml"
    play.write_text(PLAY.format(role=role))
    return run_play(host, play, vendors.lock_file)


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


@pytest.mark.parametrize("role", [*ROLES, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_ROLES)])
def test_a_role_installs_and_holds_the_locks_packages_and_a_second_time_changes_nothing(
    host: str, vendors: Vendors, role: str
) -> None:
    first = converge(host, vendors, role)
    assert first.returncode == 0, first.stdout
    second = converge(host, vendors, role)
    assert "changed=0 " in second.stdout, second.stdout
    entry = vendors.lock.components[role]
    # With what they need of the vendor's, which an upgrade would move.
    held = entry.files if entry.hold else []
    assert installed(host, vendors) == {name: (name in held, file.version) for name, file in entry.files.items()}
    if role in ROLES:
        verified = suite(host, vendors.lock_file, [role])
        assert verified.returncode == 0, verified.stdout
        assert "passed" in verified.stdout


def trusted(host: str) -> str:
    """The vendor's keys and entries that the package manager in the container has."""
    return docker("exec", host, "find", "/etc", "-name", "ingot-*")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(404, "404", marks=pytest.mark.slow),
        pytest.param(403, "403", marks=pytest.mark.slow),
        ("altered", "is no key, not"),
        pytest.param("truncated", "is no key, not", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_key_that_is_not_the_locks_is_refused_and_nothing_is_left(
    host: str, vendors: Vendors, family: Family, fault: int | str, said: str
) -> None:
    vendors.faults["/key.asc"] = [fault]
    done = converge(host, vendors, "fabricmanager")
    assert done.returncode != 0
    assert said in done.stdout
    assert family.repository in done.stdout
    assert (installed(host, vendors), trusted(host)) == ({}, "")
    assert converge(host, vendors, "fabricmanager").returncode == 0


def test_another_key_is_named_beside_the_locks(host: str, vendors: Vendors, family: Family, tmp_path: Path) -> None:
    other = tmp_path / "lock.yml"
    row = vendors.lock.repositories[family.repository].model_copy(update={"key_fingerprint": "A" * 40})
    lock = vendors.lock.model_copy(update={"repositories": {**vendors.lock.repositories, family.repository: row}})
    other.write_text(locks.dump(lock))
    changed = Vendors(tmp_path, vendors.url, lock, vendors.faults)
    done = converge(host, changed, "fabricmanager")
    pinned = vendors.lock.repositories[family.repository].key_fingerprint
    assert f"is {pinned}, not {'A' * 40}" in done.stdout
    assert (installed(host, vendors), trusted(host)) == ({}, "")


@pytest.mark.parametrize("fault", [[500, 503], pytest.param([429], marks=pytest.mark.slow)], ids=str)
def test_a_busy_host_is_asked_again(host: str, vendors: Vendors, family: Family, fault: list[int | str]) -> None:
    paths = ("/key.asc", family.index, family.suffix)
    vendors.faults |= {path: [*fault] for path in paths}
    done = converge(host, vendors, "fabricmanager")
    assert done.returncode == 0, done.stdout
    assert vendors.faults == {path: [] for path in paths}


SPOILT = ["altered", *(pytest.param(each, marks=pytest.mark.slow) for each in ("truncated", 404))]


@pytest.mark.parametrize("fault", SPOILT, ids=str)
def test_a_package_that_is_not_as_signed_is_not_installed_and_the_next_run_succeeds(
    host: str, vendors: Vendors, family: Family, fault: int | str
) -> None:
    vendors.faults[family.suffix] = [fault] * 99
    done = converge(host, vendors, "imex")
    assert done.returncode != 0
    assert re.search("nvidia-imex.580", done.stdout)
    assert installed(host, vendors) == {}
    vendors.faults.clear()
    assert converge(host, vendors, "imex").returncode == 0


# Ansible asks again five times.
@pytest.mark.slow
def test_an_index_that_its_key_has_not_signed_is_refused(host: str, vendors: Vendors, family: Family) -> None:
    vendors.faults[family.index] = ["altered"] * 99
    done = converge(host, vendors, "imex")
    assert done.returncode != 0
    assert installed(host, vendors) == {}


def test_a_version_that_is_gone_is_named(host: str, vendors: Vendors, family: Family) -> None:
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
    assert f"nvidia-imex{family.sign}580.999-1" in done.stdout
    assert installed(host, vendors) == {}


def test_the_locks_file_says_that_vendors_are_simulated(vendors: Vendors) -> None:
    lock = yaml.safe_load(vendors.lock_file.read_text())
    names = {lock["components"][role]["source"] for role in ROLES}
    assert {lock["repositories"][name]["url"].startswith(vendors.url) for name in names} == {True}

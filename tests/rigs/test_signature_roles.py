"""Without a digest a role installs the lock's exact version from whatever the lock's key has signed, and nothing else.

Systems and vendors are simulated; apt, dnf, gpg, keys, signatures and packages are real.
"""

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.locks import locked, unrecorded, versions
from tests.rigs.places import Make, ask, converge
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, docker
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

# Of a repository with a held package and an open build, with dependencies, and of a file with a signature.
ROLES = ["imex", "dcgm", "nccl", "cloudwatch_agent"]
NAMES = ["ubuntu2404", pytest.param("rocky9", marks=pytest.mark.slow)]


def signed_only(vendors: Vendors) -> Lock:
    """The vendors' lock without digests, as a collection from Galaxy has it."""
    lock = unrecorded(vendors.lock, *ROLES)
    (vendors.folder / "signed.yml").write_text(locks.dump(lock))
    return lock


def installed(host: str, kind: str) -> dict[str, str]:
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    known = ["dpkg-query", "-W"] if kind == "apt" else ["rpm", "-qa", "--queryformat", form]
    return dict(line.split() for line in docker("exec", host, *known).splitlines() if len(line.split()) == 2)


@pytest.mark.parametrize("name", NAMES)
def test_roles_install_the_exact_versions_and_a_second_time_change_nothing(place: Make, name: str) -> None:
    vendors, host = place(locked(name))
    lock = signed_only(vendors)
    roles = [role for role in ROLES if role in lock.components]
    signed = str(vendors.folder / "signed.yml")
    done = converge(host, vendors, *roles, ingot_lock=signed)
    assert done.returncode == 0, done.stdout[-6000:]
    found = installed(host, SYSTEMS[name].kind)
    wanted = versions(vendors.lock, *(role for role in roles if vendors.lock.components[role].files))
    assert {package: found.get(package) for package in wanted} == wanted
    again = converge(host, vendors, *roles, ingot_lock=signed)
    assert "changed=0 " in again.stdout, again.stdout[-6000:]
    # What is compiled against NCCL needs CUDA.
    verified = suite(host, vendors.folder / "signed.yml", [role for role in roles if role != "nccl"])
    assert verified.returncode == 0, verified.stdout


def test_a_file_that_its_key_has_not_signed_is_refused(place: Make) -> None:
    vendors, host = place(locked("ubuntu2404"))
    lock = signed_only(vendors)
    artifact = lock.components["cloudwatch_agent"].artifact
    assert artifact
    file = vendors.folder / "served" / artifact.url.partition(vendors.url)[2].lstrip("/")
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    try:
        done = converge(host, vendors, "cloudwatch_agent", ingot_lock=str(vendors.folder / "signed.yml"))
    finally:
        file.write_bytes(content)
    assert done.returncode != 0
    assert "is not signed by" in done.stdout
    assert ask(host, "dpkg-query -W amazon-cloudwatch-agent 2>/dev/null || echo none") == "none"

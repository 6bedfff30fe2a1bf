"""An upgrade of the whole system leaves what the lock holds; another lock moves all of it together, there and back.

Vendors publish newer versions of everything. What moves packages is the system's own: unattended-upgrades, apt and dnf.
"""

from pathlib import Path

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.later import DRIVER, first, newer
from tests.rigs.locks import locked, versions
from tests.rigs.places import ask, converge
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, container, docker, gateway, image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

# What the lock does not hold, so that an upgrade is seen to move something.
FREE = ["docker", "nccl", "dcgm"]
ROLES = ["kernel", *DRIVER, "efa", *FREE, "nvidia_container_toolkit"]
# Nothing that is compiled.
FEW = ["fabricmanager", "imex", "docker", "nvidia_container_toolkit"]
MODULES = ["nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm", "efa"]
UPGRADES = {
    "unattended": """apt-get install -qq --yes --no-install-recommends unattended-upgrades >/dev/null
apt-get update -qq
echo 'Unattended-Upgrade::Origins-Pattern { "origin=*"; };' >/etc/apt/apt.conf.d/99-everything
unattended-upgrade --verbose 2>&1
""",
    "apt": "apt-get update -qq\napt-get dist-upgrade --yes\n",
    "dnf": "dnf upgrade --assumeyes 2>&1\n",
}


def installed(host: str, lock: Lock, *roles: str, beside: bool = False) -> dict[str, str]:
    """package -> version, of what is installed of the roles' packages; of several, the newest, or the lock's if newer
    ones may be `beside` it.
    """
    if SYSTEMS[lock.os].kind == "apt":
        shown = docker("exec", host, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status} ${Version}\n")
    else:
        form = "%{NAME} installed %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
        shown = docker("exec", host, "rpm", "-qa", "--qf", form)
    rows = sorted(line.split() for line in shown.splitlines() if " installed " in line)
    names = {name for role in roles for name in lock.components[role].files}
    found = {name: version for name, _, version in rows if name in names}
    there = {(name, version) for name, _, version in rows}
    mine = {name: version for name, version in versions(lock, *roles).items() if (name, version) in there}
    return found | mine if beside else found


def holds(host: str, vendors: Vendors, roles: list[str], *, beside: bool = False) -> None:
    """All that the lock holds is there in its version, and modules load for its kernel with what they need; newer
    kernels may be `beside` its own.
    """
    lock = vendors.lock
    held = [role for role in roles if lock.components[role].hold]
    there = installed(host, lock, *held, beside=beside)
    assert there == {name: version for name, version in versions(lock, *held).items() if name in there}
    assert set(there) >= {name for role in held for name in lock.components[role].packages}
    if "kernel" in roles:
        release = lock.components["kernel"].facts["release"]
        assert ask(host, f"modinfo -k {release} -F version nvidia") == lock.components["nvidia_driver"].version
        for module in MODULES:
            assert ask(host, f"modinfo -k {release} -F vermagic {module}").split()[0] == release
            # Every module that it needs, by depmod's own resolution.
            ask(host, f"modprobe --set-version {release} --show-depends {module}")
    # As sysprep does: Debian makes a key when munge is installed.
    ask(host, "rm -f /etc/munge/munge.key")
    # The rig's image has a second kernel.
    files = [role for role in roles if role not in ("kernel", *FREE)]
    verified = suite(host, vendors.lock_file, roles, files)
    assert verified.returncode == 0, verified.stdout


SYSTEM = [
    ("ubuntu2404", "unattended", FEW),
    pytest.param("ubuntu2404", "unattended", [*ROLES, "slurm"], marks=pytest.mark.slow),
    pytest.param("ubuntu2404", "apt", ROLES, marks=pytest.mark.slow),
    # Of Slurm's needs the rig has no packages of rpm; of Docker's engine Rocky Linux' lock knows no version.
    pytest.param("rocky9", "dnf", [role for role in ROLES if role != "docker"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "upgrade", "roles"), SYSTEM)
def test_an_upgrade_leaves_what_the_lock_holds_and_another_lock_moves_it_together_and_back(
    tmp_path: Path, name: str, upgrade: str, roles: list[str]
) -> None:
    old = first(locked(name))
    with serving(old, roles, tmp_path / "vendors", gateway()) as vendors, container(image(name)) as host:
        story(host, vendors, old, upgrade, roles)


def story(host: str, vendors: Vendors, old: Lock, upgrade: str, roles: list[str]) -> None:
    """Converge, upgrade, move to the newer lock, and back."""
    done = converge(host, vendors, *roles, ingot_roles=roles)
    assert done.returncode == 0, done.stdout[-6000:]
    holds(host, vendors, roles)

    before, free = vendors.lock, [role for role in roles if role in FREE]
    after = vendors.publish(newer(old, *vendors.lock.components))
    said = ask(host, UPGRADES[upgrade])
    holds(host, vendors, roles)
    assert installed(host, after, *free) == versions(after, *free), said

    for lock in (after, before):
        vendors.lock_file.write_text(locks.dump(lock))
        vendors.lock = lock
        done = converge(host, vendors, *roles, ingot_roles=roles)
        assert done.returncode == 0, done.stdout[-6000:]
        again = converge(host, vendors, *roles, ingot_roles=roles)
        assert "changed=0 " in again.stdout, again.stdout[-6000:]
        # Back again, the newer kernel stays until an image is made.
        holds(host, vendors, roles, beside=lock is before)
        assert installed(host, lock, *free) == versions(lock, *free)
        assert len({lock.components[role].version for role in DRIVER if role in roles}) == 1

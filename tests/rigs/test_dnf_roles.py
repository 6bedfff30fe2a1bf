"""With dnf as well, what is held stays, a lock moves it there and back, and nothing unsigned comes in.

The system is a Debian container that presents itself as another; dnf, rpm, keys, signatures and packages are real.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.commandline import Completed
from tests.rigs.locks import locked, versions
from tests.rigs.packages import tools
from tests.rigs.places import converge
from tests.rigs.suite import suite
from tests.rigs.systems import docker, gateway, tools_image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

# One is held, the other is not.
ROLES = ["imex", "dcgm"]
NEWER = {"imex": "580.999.01", "dcgm": "4.99.0"}
LIST = "/etc/dnf/plugins/versionlock.list"
PLUGIN = ["/etc/dnf/plugins/versionlock.conf", "/usr/lib/python3/dist-packages/dnf-plugins/versionlock.py"]


@pytest.fixture(scope="module", params=["al2023", pytest.param("rocky9", marks=pytest.mark.slow)])
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of a system names for the two roles, served where containers reach it."""
    lock = locked(request.param)
    with serving(lock, ROLES, tmp_path_factory.mktemp("rig") / "vendors", gateway()) as made:
        yield made


def moved(host: str, vendors: Vendors, lock: Lock, *, check: bool = False) -> Completed:
    """Apply both roles by a lock; what Ansible prints."""
    file = vendors.folder / "other.yml"
    file.write_text(locks.dump(lock))
    return converge(host, vendors, *ROLES, check=check, ingot_lock=str(file))


def installed(host: str) -> dict[str, str]:
    """package -> version, as a lock has it."""
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    rows = (line.split() for line in docker("exec", host, "rpm", "-qa", "--queryformat", form).splitlines())
    return {name: version for name, version in rows if name != "gpg-pubkey" and not version.endswith(".simulated")}


def test_an_upgrade_leaves_what_is_held_and_a_lock_moves_it_and_back(host: str, vendors: Vendors) -> None:
    old = vendors.lock
    # What the owner holds is none of ours.
    docker("exec", "-i", host, "tee", LIST, stdin="# Added by hand\nbash-0:5.1.8-9.*\n")
    assert moved(host, vendors, old).returncode == 0
    parts = {
        role: old.components[role].model_copy(update={"version": version, "exact": {}, "files": {}})
        for role, version in NEWER.items()
    }
    new = vendors.publish(old.model_copy(update={"components": {**old.components, **parts}}))

    said = docker("exec", host, "dnf", "upgrade", "--assumeyes")
    assert installed(host) == {**versions(old, "imex"), **versions(new, "dcgm")}, said

    verified = suite(host, vendors.lock_file, ROLES, ["held"], "-k", "upgrade")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "2 passed" in verified.stdout
    for lock in (new, old):
        done = moved(host, vendors, lock)
        assert done.returncode == 0, done.stdout
        assert installed(host) == versions(lock, *ROLES)
        again = moved(host, vendors, lock)
        assert "changed=0 " in again.stdout, again.stdout
        held = f"nvidia-imex-0:{lock.components['imex'].version}-1.*"
        assert docker("exec", host, "cat", LIST) == f"# Added by hand\nbash-0:5.1.8-9.*\n{held}\n"


@pytest.mark.slow
def test_check_mode_says_what_would_change_and_changes_nothing(host: str, vendors: Vendors) -> None:
    # A system that has not had the plugin yet; it counts as having the package that brings it.
    docker("exec", host, "rm", *PLUGIN, LIST)
    said = moved(host, vendors, vendors.lock, check=True).stdout
    assert "+baseurl=" in said
    assert f"nvidia-imex-{vendors.lock.components['imex'].version}-1" in said
    assert f"+nvidia-imex-0:{vendors.lock.components['imex'].version}-1.*" in said
    assert installed(host) == {}
    assert docker("exec", host, "find", "/etc", "-name", "ingot*") == ""
    assert moved(host, vendors, vendors.lock).returncode == 0
    second = moved(host, vendors, vendors.lock, check=True)
    assert "changed=0 " in second.stdout, second.stdout


@pytest.mark.slow
def test_a_package_that_its_vendor_has_not_signed_is_refused_though_the_index_names_it(
    host: str, vendors: Vendors
) -> None:
    folder = vendors.folder / "served" / "cuda_rpm"
    bare = vendors.folder / "served" / "bare"
    shutil.copytree(folder, bare)
    run = tools(tools_image(), vendors.folder, vendors.lock.arch)
    run("rpmsign --delsign *.rpm >&2\ncreaterepo_c --quiet .", bare)
    home = str(vendors.folder / "gnupg")
    sign = ["gpg", "--homedir", home, "--batch", "--yes", "--detach-sign", "--armor"]
    subprocess.run([*sign, str(bare / "repodata" / "repomd.xml")], check=True, capture_output=True)
    row = vendors.lock.repositories["cuda_rpm"]
    rows = {"cuda_rpm": row.model_copy(update={"url": row.url.replace("/cuda_rpm", "/bare")})}
    done = moved(host, vendors, vendors.lock.model_copy(update={"repositories": rows}))
    assert done.returncode != 0
    assert re.search("nvidia-imex-580.*not signed", done.stdout), done.stdout
    assert installed(host) == {}

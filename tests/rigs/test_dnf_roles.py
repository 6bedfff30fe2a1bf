"""What dnf promises beyond installing: what is held stays, a lock moves it and back, and nothing unsigned comes in.

The system is a Debian container that presents itself as another; dnf, rpm, keys, signatures and packages are real.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.systems import STACK, container, docker, gateway, image, tools_image
from tests.rigs.systems import converge as run_play
from tests.rigs.vendors import Vendors, serving, tools

pytestmark = [pytest.mark.docker, pytest.mark.network]

# One is held, the other is not.
ROLES = ["imex", "dcgm"]
NEWER = {"imex": "580.999.01", "dcgm": "4.99.0"}
PLAY = "- hosts: all\n  roles: [ingot.ml.imex, ingot.ml.dcgm]\n"
IMAGES = """images:
  rig: {platform: ec2, accelerator: nvidia, summary: Two roles., roles: [imex, dcgm]}
"""
LIST = "/etc/dnf/plugins/versionlock.list"
PLUGIN = ["/etc/dnf/plugins/versionlock.conf", "/usr/lib/python3/dist-packages/dnf-plugins/versionlock.py"]


@pytest.fixture(scope="module", params=["al2023", pytest.param("rocky9", marks=pytest.mark.slow)])
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of a system names for the two roles, served where containers reach it."""
    lock = locks.load(paths.LOCKS / STACK / f"{request.param}-x86_64.yml")
    with serving(lock, ROLES, tmp_path_factory.mktemp("rig") / "vendors", gateway()) as made:
        yield made


@pytest.fixture
def host(vendors: Vendors) -> Iterator[str]:
    """A container that presents itself as the lock's system."""
    vendors.faults.clear()
    with container(image(vendors.lock.os)) as name:
        yield name


def converge(host: str, vendors: Vendors, lock: Lock, *words: str) -> subprocess.CompletedProcess[str]:
    """Apply both roles by a lock; what Ansible says."""
    play, file = vendors.folder / "play.yml", vendors.folder / "other.yml"
    play.write_text(PLAY)
    file.write_text(locks.dump(lock))
    return run_play(host, play, file, None, *words)


def installed(host: str) -> dict[str, str]:
    """package -> version, as a lock has it."""
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    rows = (line.split() for line in docker("exec", host, "rpm", "-qa", "--queryformat", form).splitlines())
    return {name: version for name, version in rows if name not in ("gpg-pubkey", "simulated-system")}


def wanted(lock: Lock, *roles: str) -> dict[str, str]:
    """package -> version, of a lock."""
    return {name: file.version for role in roles for name, file in lock.components[role].files.items()}


def suite(host: str, vendors: Vendors) -> None:
    """Ask the suite of images whether an upgrade leaves what is held."""
    own = vendors.folder / "own"
    own.mkdir(exist_ok=True)
    (own / "images.yml").write_text(IMAGES)
    folder = paths.ROOT / "tests" / "image"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", "-k", "upgrade"]
    words += [folder / "test_held.py", f"--hosts=docker://{host}", f"--lock={vendors.lock_file}", "--image=rig"]
    env = {**os.environ, "INGOT_CATALOG": str(own)}
    done = subprocess.run(words, cwd=paths.ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_an_upgrade_leaves_what_is_held_and_a_lock_moves_it_and_back(host: str, vendors: Vendors) -> None:
    old = vendors.lock
    # What the owner holds is none of ours.
    docker("exec", "-i", host, "tee", LIST, stdin="# Added by hand\nbash-0:5.1.8-9.*\n")
    assert converge(host, vendors, old).returncode == 0
    parts = {
        role: old.components[role].model_copy(update={"version": version, "exact": {}, "files": {}})
        for role, version in NEWER.items()
    }
    new = vendors.publish(old.model_copy(update={"components": {**old.components, **parts}}))

    said = docker("exec", host, "dnf", "upgrade", "--assumeyes")
    assert installed(host) == {**wanted(old, "imex"), **wanted(new, "dcgm")}, said

    suite(host, vendors)
    for lock in (new, old):
        moved = converge(host, vendors, lock)
        assert moved.returncode == 0, moved.stdout
        assert installed(host) == wanted(lock, *ROLES)
        again = converge(host, vendors, lock)
        assert "changed=0 " in again.stdout, again.stdout
        held = f"nvidia-imex-0:{lock.components['imex'].version}-1.*"
        assert docker("exec", host, "cat", LIST) == f"# Added by hand\nbash-0:5.1.8-9.*\n{held}\n"


@pytest.mark.slow
def test_check_mode_says_what_would_change_and_changes_nothing(host: str, vendors: Vendors) -> None:
    # A system that has not had the plugin yet; it counts as having the package that brings it.
    docker("exec", host, "rm", *PLUGIN, LIST)
    said = converge(host, vendors, vendors.lock, "--check", "--diff").stdout
    assert "+baseurl=" in said
    assert f"nvidia-imex-{vendors.lock.components['imex'].version}-1" in said
    assert f"+nvidia-imex-0:{vendors.lock.components['imex'].version}-1.*" in said
    assert installed(host) == {}
    assert docker("exec", host, "find", "/etc", "-name", "ingot*") == ""
    assert converge(host, vendors, vendors.lock).returncode == 0
    second = converge(host, vendors, vendors.lock, "--check", "--diff")
    assert "changed=0 " in second.stdout, second.stdout


@pytest.mark.slow
def test_a_package_that_its_vendor_has_not_signed_is_refused_though_the_index_names_it(
    host: str, vendors: Vendors
) -> None:
    folder = vendors.folder / "served" / "cuda_rpm"
    bare = vendors.folder / "served" / "bare"
    shutil.copytree(folder, bare)
    run = tools(tools_image(), vendors.folder, vendors.lock.arch)
    run("rpmsign --delsign *.rpm >&2\ncreaterepo_c --quiet --general-compress-type gz .", bare)
    sign = ["gpg", "--homedir", vendors.folder / "gnupg", "--batch", "--yes", "--detach-sign", "--armor"]
    subprocess.run([*sign, bare / "repodata" / "repomd.xml"], check=True, capture_output=True)
    row = vendors.lock.repositories["cuda_rpm"]
    rows = {"cuda_rpm": row.model_copy(update={"url": row.url.replace("/cuda_rpm", "/bare")})}
    done = converge(host, vendors, vendors.lock.model_copy(update={"repositories": rows}))
    assert done.returncode != 0
    assert re.search("nvidia-imex-580.*not signed", done.stdout), done.stdout
    assert installed(host) == {}

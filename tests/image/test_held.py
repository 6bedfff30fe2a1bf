"""An upgrade of the whole system leaves kernel and driver as they are: only an image with other pins moves them.

A repository on the machine offers simulated newer versions of every held package, and of all that they need in one
exact version. Of these it holds the index only: a machine whose holds fail stops at the download and is not harmed.
One package without a hold is really there, so that the upgrade is seen to work.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from ingot.locked import Lock

CONTROL = "Package: ingot-simulated\nVersion: {version}\nArchitecture: all\nMaintainer: Ingot\nDescription: simulated\n"
NEWER = "9999:1-simulated"


@pytest.fixture(scope="module")
def guarded(lock: Lock, installed: dict[str, Any]) -> dict[str, str]:
    """The packages that must not move: the held ones and what they need in one exact version; name -> version."""
    names = {name for part in lock.components.values() if part.hold for name in part.packages}
    if not names:
        pytest.skip("the lock holds nothing that this image has")
    found: set[str] = set()
    todo = {name for name in names if name in installed and installed[name].held}
    while todo:
        found |= todo
        todo = {need for name in todo for need in installed[name].needs if need in installed} - found
    return {name: installed[name].version for name in found}


@pytest.fixture(scope="module")
def upgrade(host: Host, workdir: str, guarded: dict[str, str]) -> Iterator[str]:
    """Upgrade the system from the simulated repository alone; what apt said."""
    folder = f"{workdir}/repository"
    arch = host.check_output("dpkg --print-architecture")
    script = ["set -e", f"mkdir -p {folder}/lists/partial {folder}/cache/archives/partial"]
    for version in ("1", "2"):
        tree, control = f"{folder}/tree{version}", CONTROL.format(version=version)
        script += [f"mkdir -p {tree}/DEBIAN", f"cat > {tree}/DEBIAN/control <<'EOF'\n{control}EOF"]
        script += [f"dpkg-deb --build -Znone {tree} {folder}/{version}.deb >&2"]
    script += [f"dpkg --install {folder}/1.deb >&2", f"cd {folder}; sha256sum 2.deb; stat --format=%s 2.deb"]
    digest, _, size = host.check_output("\n".join(script)).split()
    index = [f"{CONTROL.format(version='2')}Filename: ./2.deb\nSize: {size}\nSHA256: {digest}\n"]
    for name in sorted(guarded):
        missing = hashlib.sha256(name.encode()).hexdigest()
        index.append(
            f"Package: {name}\nVersion: {NEWER}\nArchitecture: {arch}\nMaintainer: Ingot\nDescription: simulated\n"
            f"Filename: ./simulated/{name}.deb\nSize: 1\nSHA256: {missing}\n"
        )
    host.check_output(f"printf %s %s > {folder}/Packages", "%s", "\n".join(index))
    host.check_output(f"echo 'deb [trusted=yes] file:{folder} ./' > {folder}/sources.list")
    apt = (
        f"env DEBIAN_FRONTEND=noninteractive apt-get -y -o Dir::Etc::sourcelist={folder}/sources.list"
        f" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists={folder}/lists -o Dir::Cache={folder}/cache"
    )
    try:
        host.check_output(f"{apt} update")
        done = host.run(f"{apt} dist-upgrade")
        yield done.stdout + done.stderr
    finally:
        host.check_output("dpkg --purge ingot-simulated")


def test_kernel_and_driver_are_guarded(lock: Lock, guarded: dict[str, str]) -> None:
    held = {name for part in lock.components.values() if part.hold for name in part.packages}
    assert {component for component, part in lock.components.items() if part.hold} >= {"kernel"}
    assert held & set(guarded)


def test_an_upgrade_of_the_system_moves_what_is_not_held(host: Host, upgrade: str) -> None:
    assert host.check_output("dpkg-query --show --showformat='${Version}' ingot-simulated") == "2", upgrade


def test_an_upgrade_of_the_system_leaves_kernel_and_driver(host: Host, upgrade: str, guarded: dict[str, str]) -> None:
    names = " ".join(guarded)
    shown = host.check_output("dpkg-query --show --showformat='${Package} ${Version}\\n' " + names)
    assert dict(line.split() for line in shown.splitlines()) == guarded, upgrade

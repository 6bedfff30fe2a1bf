"""An upgrade of the whole system leaves kernel and driver as they are: only an image with other pins moves them.

A repository on the machine offers simulated newer versions of every held package, and of all that they need in one
exact version. Of these it holds the index only: a machine whose holds fail stops at the download and is not harmed.
One package without a hold is offered as well, so that upgrades are seen to work.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock

CONTROL = "Package: ingot-simulated\nVersion: {version}\nArchitecture: all\nMaintainer: Ingot\nDescription: simulated\n"
NEWER = "9999:1-simulated"
FREE = "ingot-simulated"
# Seconds to wait for a machine's own upgrades, which may hold dpkg's lock.
BUSY = 300
COMMON, RPM = "http://linux.duke.edu/metadata/common", "http://linux.duke.edu/metadata/rpm"
REPOMD = """<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">
<checksum type="sha256">{digest}</checksum><location href="repodata/primary.xml"/></data></repomd>"""
ENTRY = """<package type="rpm"><name>{name}</name><arch>noarch</arch>
<version epoch="9999" ver="1" rel="simulated"/><checksum type="sha256" pkgid="YES">{digest}</checksum>
<summary>simulated</summary><description>simulated</description><packager/><url/><time file="0" build="0"/>
<size package="1" installed="1" archive="1"/><location href="{name}.rpm"/><format><rpm:license>none</rpm:license>
<rpm:provides><rpm:entry name="{name}" flags="EQ" epoch="9999" ver="1" rel="simulated"/></rpm:provides></format>
</package>
"""


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade moves, of what must not move and of the package without a hold; and what was said of it."""

    moved: frozenset[str]
    said: str


@pytest.fixture(scope="module")
def guarded(lock: Lock, installed: dict[str, Any], kernels: frozenset[str]) -> dict[str, str]:
    """The packages that must not move: the held ones and what they need in one exact version; name -> version."""
    names = {name for part in lock.components.values() if part.hold for name in part.packages} | kernels
    if not names:
        pytest.skip("the lock holds nothing that this image has")
    found: set[str] = set()
    todo = {name for name in names if name in installed and installed[name].held}
    while todo:
        found |= todo
        todo = {need for name in todo for need in installed[name].needs if need in installed} - found
    return {name: installed[name].version for name in found}


@pytest.fixture(scope="module")
def upgrade(host: Host, family: str, workdir: str, guarded: dict[str, str]) -> Iterator[Upgrade]:
    """Upgrade the system from the simulated repository alone."""
    if family == "RedHat":
        yield _of_dnf(host, f"{workdir}/repository", guarded)
    else:
        yield from _of_apt(host, f"{workdir}/repository", guarded)


def _of_apt(host: Host, folder: str, guarded: dict[str, str]) -> Iterator[Upgrade]:
    arch = host.check_output("dpkg --print-architecture")
    script = ["set -e", f"mkdir -p {folder}/lists/partial {folder}/cache/archives/partial"]
    for version in ("1", "2"):
        tree, control = f"{folder}/tree{version}", CONTROL.format(version=version)
        script += [f"mkdir -p {tree}/DEBIAN", f"cat > {tree}/DEBIAN/control <<'EOF'\n{control}EOF"]
        script += [f"dpkg-deb --build -Znone {tree} {folder}/{version}.deb >&2"]
    script += [f"cd {folder}; sha256sum 2.deb; stat --format=%s 2.deb"]
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
        f"env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout={BUSY}"
        f" -o Dir::Etc::sourcelist={folder}/sources.list -o Dir::Etc::sourceparts=/dev/null"
        f" -o Dir::State::lists={folder}/lists -o Dir::Cache={folder}/cache"
    )
    try:
        host.check_output(f"{apt} update")
        host.check_output(f"{apt} install {folder}/1.deb")
        done = host.run(f"{apt} dist-upgrade")
        names = " ".join([FREE, *guarded])
        shown = host.check_output("dpkg-query --show --showformat='${Package} ${Version}\\n' " + names)
        now = dict(line.split() for line in shown.splitlines())
        before = {FREE: "1", **guarded}
        yield Upgrade(frozenset(name for name in before if now[name] != before[name]), done.stdout + done.stderr)
    finally:
        host.check_output(f"{apt} purge {FREE}")


def _of_dnf(host: Host, folder: str, guarded: Iterable[str]) -> Upgrade:
    """dnf is asked for the newer versions by name, and says which of them its holds hide from every transaction."""
    names = sorted([FREE, *guarded])
    entries = "".join(ENTRY.format(name=each, digest=hashlib.sha256(each.encode()).hexdigest()) for each in names)
    primary = f'<metadata xmlns="{COMMON}" xmlns:rpm="{RPM}" packages="{len(names)}">\n{entries}</metadata>'
    repomd = REPOMD.format(digest=hashlib.sha256(primary.encode()).hexdigest())
    host.check_output("mkdir -p %s", f"{folder}/repodata")
    for name, text in (("primary", primary), ("repomd", repomd)):
        host.check_output(f"printf %s %s > {folder}/repodata/{name}.xml", "%s", text)
    dnf = (
        f"env LC_ALL=C dnf --assumeno --setopt=cachedir={folder}/cache --setopt=reposdir=/dev/null --setopt=strict=0"
        f" --nogpgcheck --repofrompath=simulated,file://{folder} install"
    )
    done = host.run(f"{dnf} {' '.join(f'{name}-{NEWER}' for name in names)}")
    said = done.stdout + done.stderr
    hidden = f"filtered out by exclude filtering for argument: {{name}}-{NEWER}\n"
    return Upgrade(frozenset(name for name in names if hidden.format(name=name) not in said), said)


def test_kernel_and_driver_are_guarded(lock: Lock, guarded: dict[str, str], kernels: frozenset[str]) -> None:
    held = {name for part in lock.components.values() if part.hold for name in part.packages} | kernels
    wanted = {"kernel"} & set(lock.components)
    assert {component for component, part in lock.components.items() if part.hold} >= wanted
    assert held & set(guarded)


def test_an_upgrade_of_the_system_moves_what_is_not_held(upgrade: Upgrade) -> None:
    assert FREE in upgrade.moved, upgrade.said


def test_an_upgrade_of_the_system_leaves_kernel_and_driver(upgrade: Upgrade) -> None:
    assert upgrade.moved <= {FREE}, upgrade.said

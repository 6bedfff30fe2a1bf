"""The kernels that simulated modules are built for: the one whose headers the rig's image has, and an archive's."""

from functools import cache

from ingot.model.lock import Lock, LockedComponent, Repository
from tests.rigs.systems import SYSTEMS, docker, tools_image


@cache
def release() -> str:
    """Its release."""
    return docker("run", "--rm", tools_image(), "sh", "-euc", "basename /lib/modules/*").strip()


def with_kernel(lock: Lock) -> Lock:
    """`lock` for that kernel, as one that the system has already: no role of a test installs it."""
    facts = {**lock.components["kernel"].facts, "release": release()}
    kernel = LockedComponent(version=release().partition("+")[0], source="base_image", facts=facts, why="The rig's.")
    return lock.model_copy(update={"components": {**lock.components, "kernel": kernel}})


# What a release and its packages are called: of Ubuntu's kernels by the release, of others by what it is for.
RELEASES = {"apt": "{version}-aws", "rpm": "{version}-1.x86_64"}
DEBS = ["linux-headers-{release}", "linux-image-{release}"]


def with_archive(lock: Lock, version: str) -> Lock:
    """`lock` for a kernel that the distribution's archive, simulated, has packages of."""
    entry = lock.components["kernel"]
    kind = SYSTEMS[lock.os].kind
    name = RELEASES[kind].format(version=version)
    packages = [each.format(release=name) for each in DEBS] if kind == "apt" else entry.packages
    update = {"version": version, "facts": {**entry.facts, "release": name}, "packages": packages}
    update |= {"exact": dict.fromkeys(packages, f"{version}-1"), "files": {}}
    row = Repository(kind=kind, url="https://archive.invalid")
    return lock.model_copy(update={
        "components": {**lock.components, "kernel": entry.model_copy(update=update)},
        "repositories": {**lock.repositories, entry.source: row},
    })  # fmt: skip

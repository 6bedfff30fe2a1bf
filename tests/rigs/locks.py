"""Locks for tests of roles: a system's own, and copies of it with an entry changed."""

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.model.lock import Artifact, Lock
from ingot.model.types import Arch
from tests.rigs.simulated.lustre import CLIENT
from tests.rigs.systems import STACK

# A version of the driver that the catalog has in every flavour.
DRIVER = "580.126.20"


def locked(name: str, arch: Arch = "x86_64", stack: str = STACK) -> Lock:
    """A system's lock."""
    return locks.load(paths.LOCKS / stack / f"{name}-{arch}.yml")


def versions(lock: Lock, *roles: str) -> dict[str, str]:
    """package -> version, of the packages that a lock has for roles."""
    return {name: file.version for role in roles for name, file in lock.components[role].files.items()}


def with_entry(lock: Lock, component: str, **update: object) -> Lock:
    """`lock` with fields of a component's entry changed."""
    entry = lock.components[component].model_copy(update=update)
    return lock.model_copy(update={"components": {**lock.components, component: entry}})


def with_client(lock: Lock) -> Lock:
    """`lock` with a version of Lustre's client, which only its repository tells."""
    return with_entry(lock, "lustre", version=CLIENT)


def with_driver(lock: Lock, module: str, version: str) -> Lock:
    """`lock` with NVIDIA's driver of a flavour and a version, as the catalog offers it."""
    offers = [offer for offer in read_catalog().components["nvidia_driver"].offers if lock.os in offer.os]
    runfile = module == "runfile"
    facts = {"module": "open", "runfile": True} if runfile else {"module": module}
    (offer, *_) = [
        offer
        for offer in offers
        if facts.items() <= offer.facts.items() and bool(offer.download) == runfile and version in offer.releases
    ]
    fields = {"version": version, "major": version.partition(".")[0], "arch": lock.arch}
    return with_entry(
        lock,
        "nvidia_driver",
        version=version,
        packages=sorted(name.format(**fields) for name in (offer.repository.packages if offer.repository else {})),
        facts=offer.facts,
        artifact=Artifact(url=offer.download.url.format(**fields)) if offer.download else None,
        source=offer.repository.name if offer.repository else "download",
    )


def unrecorded(lock: Lock, *components: str) -> Lock:
    """`lock` as it was before digests of components were recorded: keys of vendors and versions are all that it has."""
    parts = {}
    for name in components:
        entry = lock.components[name]
        artifact = entry.artifact.model_copy(update={"sha256": None}) if entry.artifact else None
        parts[name] = entry.model_copy(update={"files": {}, "artifact": artifact})
    return lock.model_copy(update={"components": {**lock.components, **parts}})

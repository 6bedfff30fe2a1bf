"""A stack whose vendors are simulated, as a catalog of one's own: what builds AMIs takes it by INGOT_CATALOG.

Base images bring kernel and what is of the distribution; all else is converged from the rig of vendors.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingot import paths
from ingot.catalog.digest import digest_of
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import release_facts
from ingot.lock import file as locks
from ingot.model.lock import Lock, LockedComponent, Repository
from ingot.model.target import Target
from ingot.model.types import DISTRIBUTION
from ingot.plan.solve import relock
from tests.rigs.bases import Base
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import locked, with_client
from tests.rigs.simulated.lustre import CLIENT
from tests.rigs.systems import STACK, SYSTEMS, container, docker, gateway, run_playbook
from tests.rigs.vendors import Vendors, serving

NAME = f"{STACK}-simulated"
# The platform whose base image has versions of its own.
CLUSTER = "parallelcluster"


def whole(os_name: str) -> Lock:
    """A system's lock with the rig's kernel, and a base that the image has."""
    lock = with_kernel(locked(os_name))
    # Of its own archive a system has any version.
    lock = lock if lock.components["lustre"].source == DISTRIBUTION else with_client(lock)
    # Debian's in truth.
    version = locked("debian13").components["base"].version
    base = LockedComponent(version=version, source="base_image", why="The rig's.")
    return lock.model_copy(update={"components": {**lock.components, "base": base}})


def released(lock: Lock, image: str) -> Lock:
    """`lock` with what the base image of `image` brings in the versions of its release, as the resolver finds them."""
    catalog, row = read_catalog(), lock.base_images[image]
    versions = {name: part.version for name, part in row.brings.items() if part.version and name in lock.components}
    # The installer decides the plugin's.
    versions |= {"aws_ofi_nccl": str(release_facts(catalog.components["efa"], versions["efa"])["aws_ofi_nccl"])}
    settings = [f"{name}=={version}" for name, version in versions.items()]
    other = relock(catalog, Target(lock.stack, lock.os, lock.arch), catalog.image(image), settings, "")
    brought = {name: other.components[name] for name in versions}
    return lock.model_copy(update={"components": {**lock.components, **brought}})


def write(vendors: Vendors, own: Path) -> None:
    """Make `own` a catalog with the stack, and its lock as recorded from the vendors."""
    (own / "stacks").mkdir(parents=True)
    row = {"stack": NAME, "summary": "Simulated vendors.", "extends": vendors.lock.stack, "systems": [vendors.lock.os]}
    (own / "stacks" / f"{NAME}.yml").write_text(json.dumps({**row, "pins": {}}))
    digest = digest_of(read_catalog(own=own), Target(NAME, vendors.lock.os, vendors.lock.arch))
    lock = vendors.lock.model_copy(update={"stack": NAME, "catalog_sha256": digest})
    folder = own / "locks" / NAME
    folder.mkdir(parents=True)
    (folder / f"{lock.key}.yml").write_text(locks.dump(lock))


# What only a system's archive tells, for a lock that does not know it.
VERSIONS = {"docker": "25.0.14", "lustre": CLIENT}


def _archive(lock: Lock) -> Lock | None:
    """What the archive of a system of rpm has beside its image's packages, as if a vendor had it; None if nothing."""
    parts = {
        name: entry.model_copy(update={"version": entry.version or VERSIONS[name]})
        for name, entry in lock.components.items()
        if entry.source == DISTRIBUTION and entry.packages and name not in ("base", "kernel")
    }
    if not parts or SYSTEMS[lock.os].kind != "rpm":
        return None
    row = Repository(kind="rpm", url="https://archive.invalid")
    return lock.model_copy(update={"components": parts, "repositories": {DISTRIBUTION: row}})


@dataclass(frozen=True)
class Served:
    """What is served of a system: the catalog that says so, and the folder of what its own archive has, if any."""

    own: Path
    archive: Path | None


@contextmanager
def serving_all(os_name: str, folder: Path) -> Iterator[Served]:
    """Serve all that a system's lock names while the block runs."""
    lock = whole(os_name)
    with ExitStack() as stack:
        vendors = stack.enter_context(serving(lock, list(lock.components), folder / "vendors", gateway()))
        write(vendors, folder / "own")
        (folder / "own" / "bases").mkdir()
        if CLUSTER in lock.base_images:
            base = vendors.publish(released(lock, CLUSTER))
            (folder / "own" / "bases" / f"{CLUSTER}.yml").write_text(locks.dump(base))
        if there := _archive(lock):
            archive = stack.enter_context(serving(there, list(there.components), folder / "archive"))
            yield Served(folder / "own", archive.folder / "served" / DISTRIBUTION)
        else:
            yield Served(folder / "own", None)


def commit_image(started: str, name: str, lock: Path, base: Base, *options: str) -> str:
    """The image `name`, made of another one as a base image is, in a container with options; its id."""
    with container(started, *options) as host:
        facts = {**base.facts, "ingot_roles": list(base.roles)}
        done = run_playbook(host, paths.ROOT / "playbooks" / "image.yml", lock, facts)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        docker("exec", host, "sh", "-euc", base.script)
        return docker("commit", host, name).strip()

"""What vendors publish after a lock was made: the next version of its components."""

import re

from ingot.model.lock import Lock, LockedComponent
from tests.rigs.kernels import with_archive

# Of one version with each other; of the driver, the rig knows the versions of the catalog.
DRIVER = ("nvidia_driver", "fabricmanager", "imex")
NEWER_DRIVER = "580.159.03"


def first(lock: Lock) -> Lock:
    """`lock` with a kernel that its system's archive, simulated, has."""
    return with_archive(lock, lock.components["kernel"].version.partition("-")[0] + ".1")


def next_version(version: str) -> str:
    """The version after this one: `5:29.8.1-1~noble` -> `5:29.8.2-1~noble`."""
    return re.sub(r"^((?:\d+:)?(?:\d+\.)*)(\d+)", lambda found: f"{found[1]}{int(found[2]) + 1}", version)


def _moved(name: str, entry: LockedComponent) -> LockedComponent:
    old = entry.version
    new = NEWER_DRIVER if name in DRIVER else next_version(old)
    exact = {
        each: version.replace(old, new) if old in version else next_version(version)
        for each, version in entry.exact.items()
    }
    packages = [each.replace(old, new) for each in entry.packages]
    update: dict[str, object] = {"version": new, "packages": packages, "exact": exact, "files": {}}
    if entry.artifact:
        # Some tags have dashes: slurm-25-11-8-1.
        url = entry.artifact.url.replace(old, new).replace(old.replace(".", "-"), new.replace(".", "-"))
        artifact = {"url": url, "sha256": None}
        facts = {key: next_version(each) if isinstance(each, str) else each for key, each in entry.facts.items()}
        update |= {"artifact": entry.artifact.model_copy(update=artifact), "facts": facts}
    return entry.model_copy(update=update)


def newer(lock: Lock, *components: str) -> Lock:
    """A lock of the next version of each of `components`, and of the kernel of `first`."""
    parts = {name: _moved(name, each) if name in components else each for name, each in lock.components.items()}
    kernel = next_version(lock.components["kernel"].version)
    return with_archive(lock.model_copy(update={"components": parts}), kernel)

"""Says what a lock will put into an image, why each version, and what was left out, before anything is built."""

from typing import Any

from ingot.catalog import Catalog
from ingot.fit import findings
from ingot.instance_types import describe
from ingot.lock import check, load, path_of
from ingot.models import Lock


def of_lock(lock: Lock, catalog: Catalog, image: str) -> dict[str, Any]:
    """The plan as data: components of `image` with version, source and reason; what is left out; download in bytes."""
    mine = lock.of(catalog.image(image).roles)
    return {
        "image": image,
        "stack": lock.stack,
        "os": lock.os,
        "arch": lock.arch,
        "components": {
            name: {"version": entry.version, "source": entry.source, "why": entry.why, "hold": entry.hold}
            for name, entry in mine.components.items()
        },
        "left_out": mine.left_out,
        "unresolved": lock.unresolved,
        "packages": len(lock.packages),
        "download_bytes": sum(package.size for package in lock.packages.values()),
        "installed_bytes": sum(package.installed for package in lock.packages.values()) * 1024,
    }


def plan(catalog: Catalog, image: str, os_name: str, arch: str, stack: str, instance_type: str = "") -> dict[str, Any]:
    """The plan of the committed lock, which must be that of the catalog as it is; with a type, what does not fit it."""
    catalog.image(image)
    catalog.stack(stack)
    catalog.check_arch(os_name, arch)
    lock = load(path_of(stack, os_name, arch))
    check(lock, catalog)
    made = of_lock(lock, catalog, image)
    if instance_type:
        row = catalog.image(image)
        made["instance_type"] = instance_type
        made["findings"] = findings(lock.of(row.roles), row, describe(instance_type))
    return made

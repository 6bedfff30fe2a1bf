"""Says what a lock will put into an image, why each version, and what was left out, before anything is built."""

from collections.abc import Collection
from typing import Any

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe
from ingot.catalog.rules import SEVERITIES, broken, locked_parts
from ingot.lock.file import check, load, path_of
from ingot.model.lock import Lock
from ingot.plan.fit import findings
from ingot.plan.solve import context_of, relock


def of_lock(lock: Lock, catalog: Catalog, image: str, instance_type: str = "") -> dict[str, Any]:
    """The plan as data: components of `image` with version, source and reason; what is left out; download in bytes;
    findings, the worst first. Sizes are None where no index has been read."""
    row = catalog.image(image)
    mine = lock.of(row.parts)
    base = lock.base_image(image, row)
    known = bool(lock.packages)
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
        "brought": lock.base_images[base].brings if base else [],
        "accepted": lock.accepted,
        "unresolved": {n: w for n, w in mine.unresolved.items() if n in mine.components or n == f"base_image.{base}"},
        "packages": len(lock.packages) if known else None,
        "download_bytes": sum(package.size for package in lock.packages.values()) if known else None,
        "installed_bytes": sum(package.installed for package in lock.packages.values()) * 1024 if known else None,
        "instance_type": instance_type or None,
        "findings": _findings(lock, catalog, image, instance_type),
    }


def _findings(lock: Lock, catalog: Catalog, image: str, instance_type: str) -> list[dict[str, Any]]:
    """The rules that the image breaks, and what does not fit the instance type."""
    row = catalog.image(image)
    mine = lock.of(row.parts)
    context = context_of(lock.os, lock.arch, row.platform, row.accelerator, instance_type)
    found = [
        {
            "severity": each.severity,
            "message": each.message,
            "rule": each.rule,
            "fix": f"change the stack or the image so that {each.rule} holds, or accept it in the stack and say why",
            "sources": [each.source],
        }
        for each in broken(locked_parts(mine.components), catalog.components, context, lock.accepted)
    ]
    found += findings(mine, row, describe(instance_type)) if instance_type else []
    return sorted(found, key=lambda each: SEVERITIES.index(each["severity"]))


def plan(
    catalog: Catalog,
    image: str,
    os_name: str,
    arch: str,
    stack: str,
    instance_type: str = "",
    settings: Collection[str] = (),
) -> dict[str, Any]:
    """The plan of the committed lock, which must be that of the catalog as it is; with a type, what does not fit it.

    With `settings`, of the stack resolved anew with them: IngotError with the chain of reasons when nothing fits.
    """
    catalog.image(image)
    catalog.stack(stack)
    catalog.check_arch(os_name, arch)
    if settings:
        lock = relock(catalog, image, os_name, arch, stack, settings, instance_type)
    else:
        lock = load(path_of(stack, os_name, arch))
        check(lock, catalog)
    return of_lock(lock, catalog, image, instance_type)
